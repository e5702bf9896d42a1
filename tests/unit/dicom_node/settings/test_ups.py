"""The section [ups] says what is wrong in it, and between it and [[destinations]]."""

from typing import Any

import pytest

from dicom_node.settings.settings import Settings

CODE = {"value": "AI", "scheme": "99TEST", "meaning": "analysis"}
ARCHIVE = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}


@pytest.mark.parametrize(
    ("ups", "words"),
    [
        ({"url": "http://a"}, "set workitem_codes"),
        ({"url": "http://a", "workitem_codes": [CODE], "archives": ["vna"]}, "no destination vna"),
        ({"url": "http://me:pw@a", "workitem_codes": [CODE]}, "username and password"),
        ({"url": "ftp://a", "workitem_codes": [CODE]}, "pattern"),
    ],
)
def test_mistakes_in_ups_are_named(ups: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(destinations=[ARCHIVE], ups=ups)
