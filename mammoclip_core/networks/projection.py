"""From an encoder's vector to the common space, in the forms that checkpoints hold."""

from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.errors import BundleError
from mammoclip_core.networks.numpy_projection import LINEAR, MLP, NONE


class MLPProjection(nn.Module):
    """Linear, then a residual of GELU and a second linear layer, then LayerNorm.

    The residual is taken from the projected value, before GELU. Dropout, which the published form
    has between the second layer and the sum, acts in training only and is left out.
    """

    def __init__(self, size: int, projection_size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(size, projection_size)
        self.fc = nn.Linear(projection_size, projection_size)
        self.layer_norm = nn.LayerNorm(projection_size)

    def forward(self, features: Tensor) -> Tensor:
        """Project (B, C) features to (B, D)."""
        projected = self.projection(features)
        result: Tensor = self.layer_norm(projected + self.fc(functional.gelu(projected)))
        return result


def build_projection(kind: str, size: int, projection_size: int) -> nn.Module:
    """Return a projection of (B, `size`) features to (B, `projection_size`).

    Raises
    ------
    BundleError
        The kind is not known, or leaving the features as they are would change their size.
    """
    if kind == LINEAR:
        return nn.Linear(size, projection_size)
    if kind == MLP:
        return MLPProjection(size, projection_size)
    if kind == NONE and size == projection_size:
        return nn.Identity()
    raise BundleError(f"projection {kind!r} from {size} to {projection_size} is not known")
