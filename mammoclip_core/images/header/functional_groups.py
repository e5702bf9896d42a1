"""The functional groups of an enhanced image's frames (PS3.3 C.7.6.16)."""

from collections.abc import Iterator

from mammoclip_core.images.header.views import HasAttributes, items_of


def frame_groups(dataset: HasAttributes, frame: int, keyword: str) -> Iterator[HasAttributes]:
    """Yield the items of one functional group for a frame: its own, then the shared ones."""
    own = items_of(dataset, "PerFrameFunctionalGroupsSequence")[frame - 1 : frame]
    for group in [*own, *items_of(dataset, "SharedFunctionalGroupsSequence")]:
        yield from items_of(group, keyword)
