"""MammoClip: images and texts in one embedding space."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.numpy_projection import LINEAR
from mammoclip_core.networks.projection import build_projection

if TYPE_CHECKING:
    from mammoclip_core.networks.text_encoder import TextEncoder


class MammoClip(nn.Module):
    """Two encoders, a projection each, and a temperature.

    Parameters
    ----------
    text_encoder : TextEncoder or None
        None where texts are not needed: the prompts' embeddings are stored beside the weights.
    projection_size : dimensions of the common space
    logit_scale : log of the factor on the similarities
    projection : ``linear``, ``mlp`` or ``none``
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        text_encoder: "TextEncoder | None",
        projection_size: int,
        logit_scale: float = 1.0,
        projection: str = LINEAR,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.image_projection = build_projection(projection, image_encoder.size, projection_size)
        self.text_encoder = text_encoder
        self.text_projection = (
            None
            if text_encoder is None
            else build_projection(projection, text_encoder.size, projection_size)
        )
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale))

    def project_features(self, features: Tensor) -> Tensor:
        """Take pooled features, (B, C), to embeddings, (B, D) of L2 norm 1."""
        return functional.normalize(self.image_projection(features), dim=-1)

    def encode_text(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Compute the embeddings, (B, D) of L2 norm 1, of tokenized texts.

        Raises
        ------
        RuntimeError
            The model was built without its text encoder.
        """
        if self.text_encoder is None or self.text_projection is None:
            raise RuntimeError("this model was loaded without its text encoder")
        return functional.normalize(self.text_projection(self.text_encoder(tokens)), dim=-1)
