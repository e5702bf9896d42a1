"""Stochastic depth of an image encoder: blocks that are left out at random while training."""

from mammoclip_core.networks.image_encoder import ImageEncoder


def set_drop_path(encoder: ImageEncoder, rate: float) -> None:
    """Leave blocks out at random while training, the later ones the more often: up to `rate`."""
    from timm.layers import DropPath

    blocks = [block for stage in encoder.backbone.blocks for block in stage]
    for number, block in enumerate(blocks):
        if getattr(block, "has_skip", False) and rate > 0:
            block.drop_path = DropPath(rate * number / len(blocks))
