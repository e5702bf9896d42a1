"""How the node's result objects name their maker, by which they are known when they come back."""

from mammoclip_core.images.own_result import MANUFACTURER, MODEL_NAME, is_own_result

__all__ = ["MANUFACTURER", "MODEL_NAME", "is_own_result"]
