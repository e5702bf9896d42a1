"""Heads that give one answer from the features of several views, in place of one for each view."""

from typing import Final, Protocol

import torch
from torch import Tensor, nn

HIDDEN: Final = 16


class Fusion(Protocol):
    """A kind of head, made for features of C channels of V views and some logits."""

    def __call__(self, channels: int, views: int, outputs: int) -> nn.Module:
        """Make a head that maps (B, V, C) to (B, outputs)."""


class ConcatenatedViews(nn.Module):
    """A linear layer on the features of all views side by side; it begins at 0."""

    def __init__(self, channels: int, views: int, outputs: int) -> None:
        super().__init__()
        self.layer = _from_nothing(nn.Linear(channels * views, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map features, (B, V, C), to logits, (B, outputs)."""
        logits: Tensor = self.layer(features.flatten(1))
        return logits


class GatedViews(nn.Module):
    """Gated attention over views (Ilse 2018, arXiv 1802.04712), then a linear layer.

    Each view has a place of its own in the attention: CC is not MLO, one side not the other.
    """

    def __init__(self, channels: int, views: int, outputs: int) -> None:
        super().__init__()
        self.content = nn.Linear(channels, HIDDEN)
        self.gate = nn.Linear(channels, HIDDEN)
        self.place = nn.Parameter(torch.zeros(views, HIDDEN))
        self.attention = nn.Linear(HIDDEN, 1)
        self.layer = _from_nothing(nn.Linear(channels, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map features, (B, V, C), to logits, (B, outputs)."""
        content = torch.tanh(self.content(features) + self.place)
        shares = torch.softmax(self.attention(content * torch.sigmoid(self.gate(features))), dim=1)
        logits: Tensor = self.layer((shares * features).sum(dim=1))
        return logits


def _from_nothing(layer: nn.Linear) -> nn.Linear:
    """Let a layer begin at 0: of thousands of weights, random ones drown what few studies teach."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
