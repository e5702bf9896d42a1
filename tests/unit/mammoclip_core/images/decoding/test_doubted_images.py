"""An image is not at fault where the system kills its decoder, or a drive hangs."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mammoclip_core.errors import ComputingError, PixelError
from mammoclip_core.images.decoding import decoding_process
from mammoclip_core.images.decoding.decoding_pool import DecodingPool

Pools = Callable[..., DecodingPool]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("deed", "words"), [("be killed", "log for lack of memory"), ("hang", "a drive hangs")]
)
def test_image_is_doubted_to_be_the_cause_until_others_are_read(
    pool_whose_codec: Pools, poison: Path, healthy: Path, deed: str, words: str
) -> None:
    pool = pool_whose_codec(deed, doubts=1)

    for _ in range(2):
        with pytest.raises(ComputingError, match=words):
            pool.read_image(poison)

    pool.read_image(healthy)
    with pytest.raises(PixelError, match="twice"):
        pool.read_image(poison)


@pytest.mark.usefixtures("impatient")
def test_image_that_computes_too_long_is_never_doubted(
    pool_whose_codec: Pools, poison: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding_process, "_processor_seconds", lambda _: time.monotonic())

    with pytest.raises(PixelError, match="more than 1 s, twice"):
        pool_whose_codec("hang", doubts=9).read_image(poison)
