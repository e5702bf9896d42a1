"""A network a finding over the flattened map of a channel, compared with the finding's texts."""

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.networks.mammo_factor import TEMPERATURE, factor_name

_FRESH_LENGTH: Final = math.sqrt(1 / 18)
"""Length of a fresh network's output a root of its size, for channels of root mean square 1:
torch draws weights of variance 1 / (3 inputs), and half of the hidden values are 0."""


class ChannelNetwork(nn.Module):
    """Embeds the map of a channel, and compares it with one attribute.

    Parameters
    ----------
    cells : H W of the feature map
    attribute : (D,) of L2 norm 1

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.3.
    """

    attribute: Tensor

    def __init__(self, cells: int, attribute: Tensor) -> None:
        super().__init__()
        self.hidden = nn.Linear(cells, cells)
        self.output = nn.Linear(cells, len(attribute))
        self.register_buffer("attribute", functional.normalize(attribute.float(), dim=0))

    @torch.no_grad()
    def start_quiet(self, loudness: float) -> None:
        """Begin with quiet channels unlike the attribute, and loud ones less so.

        Only the best channel of an image learns. From plain random weights that is any quiet one
        as soon as not, all quiet ones are alike, and a channel that fires may never be tried.

        Parameters
        ----------
        loudness : root mean square of the feature maps
        """
        self.hidden.weight.div_(loudness)
        self.hidden.bias.zero_()
        length = _FRESH_LENGTH * math.sqrt(len(self.attribute))
        self.output.bias.copy_(-length * self.attribute)

    def forward(self, channels: Tensor) -> Tensor:
        """Compare flattened maps, (..., H W), with the attribute: cosines, (...)."""
        embedded = self.output(functional.relu(self.hidden(channels)))
        cosines: Tensor = functional.normalize(embedded, dim=-1) @ self.attribute
        return cosines


class FactorNetwork(nn.Module):
    """The networks of several findings: how much images show each of them.

    Parameters
    ----------
    attributes : (D,) embeddings by finding, in the order of the columns of labels
    temperature : divides the cosines
    """

    def __init__(
        self, cells: int, attributes: Mapping[str, Tensor], temperature: float = TEMPERATURE
    ) -> None:
        super().__init__()
        self.findings = tuple(attributes)
        self.temperature = temperature
        parts = [ChannelNetwork(cells, attribute) for attribute in attributes.values()]
        self.networks = nn.ModuleList(parts)

    def start_quiet(self, loudness: float) -> None:
        """Begin as `ChannelNetwork.start_quiet` says."""
        for network in self.networks:
            if isinstance(network, ChannelNetwork):
                network.start_quiet(loudness)

    def forward(self, feature_maps: Tensor) -> Tensor:
        """Compute the similarity of (B, C, H, W) images and findings, (B, findings).

        It is the best channel's. Only that one has a gradient, so the others are compared
        without: the same result in a third of the time.
        """
        channels = feature_maps.flatten(2)
        rows = torch.arange(len(channels), device=channels.device)
        columns = []
        for network in self.networks:
            with torch.no_grad():
                best = network(channels).argmax(dim=1)
            columns.append(network(channels[rows, best]))
        return torch.stack(columns, dim=1) / self.temperature

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names that a bundle keeps them under."""
        tensors = {}
        for finding, network in zip(self.findings, self.networks, strict=True):
            state = network.state_dict()
            for layer in ("hidden", "output"):
                for kind in ("weight", "bias"):
                    name = factor_name(finding, f"{layer}_{kind}")
                    tensors[name] = state[f"{layer}.{kind}"].detach().cpu().clone()
            tensors[factor_name(finding, "attribute")] = state["attribute"].cpu().clone()
        return tensors
