"""Manufacturer and model name of the node's result objects, by which it recognises them."""

from mammoclip_core.images.header.own_result import MANUFACTURER, MODEL_NAME, is_own_result

__all__ = ["MANUFACTURER", "MODEL_NAME", "is_own_result"]
