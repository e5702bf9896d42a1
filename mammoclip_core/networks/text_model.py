"""Texts to embeddings: the text side of a bundle alone."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.networks.projection import build_projection
from mammoclip_core.networks.text_encoder import TextEncoder, TextTokenizer


class TextModel(nn.Module):
    """A text encoder with its projection and its tokenizer.

    Parameters
    ----------
    projection : ``linear``, ``mlp`` or ``none``
    """

    def __init__(
        self,
        encoder: TextEncoder,
        tokenizer: TextTokenizer,
        projection: str,
        projection_size: int,
    ) -> None:
        super().__init__()
        self.text_encoder = encoder
        self.text_projection = build_projection(projection, encoder.size, projection_size)
        self.tokenizer = tokenizer

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the text side's tensors, and no others, in float32."""
        own = {
            name: value.float() if value.is_floating_point() else value
            for name, value in state.items()
        }
        self.load_state_dict(own, strict=True, assign=True)
        self.eval().requires_grad_(requires_grad=False)

    @torch.inference_mode()
    def forward(self, texts: Sequence[str]) -> Tensor:
        """Compute the embeddings, (B, D) of L2 norm 1."""
        hidden = self.text_encoder(self.tokenizer(texts))
        return functional.normalize(self.text_projection(hidden), dim=-1).clone()
