"""One process asks for room, and each of the others hears of it once."""

from pathlib import Path

import pytest

from dicom_node.spool.wanted_room import WantedRoom


@pytest.mark.parametrize("asked", [("10.1.2.3", True), ("fe80::1", False), (None, True)])
def test_wish_is_heard_once_by_every_other(tmp_path: Path, asked: tuple[str | None, bool]) -> None:
    one, *others = [WantedRoom(tmp_path) for _ in range(3)]

    one.ask(asked[0], for_known=asked[1])

    assert [other.asked() for other in others] == [asked, asked]
    assert [other.asked() for other in others] == [None, None]
    assert one.asked() is None


def test_same_wish_again_is_heard_again(tmp_path: Path) -> None:
    one, other = WantedRoom(tmp_path), WantedRoom(tmp_path)

    heard = []
    for _ in range(2):
        one.ask(None, for_known=False)
        heard.append(other.asked())

    assert heard == [(None, False), (None, False)]


def test_wish_from_before_is_not_heard(tmp_path: Path) -> None:
    WantedRoom(tmp_path).ask("10.1.2.3", for_known=True)

    assert WantedRoom(tmp_path).asked() is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a", b"1 2 3 4"])
def test_what_is_no_wish_is_none(tmp_path: Path, content: bytes) -> None:
    room = WantedRoom(tmp_path)
    (tmp_path / "wanted").write_bytes(content)

    assert room.asked() is None
