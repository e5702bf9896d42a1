"""The section [[poll]] names archives that there are, each once and by a way that it has."""

from typing import Any

import pytest

from dicom_node.settings.settings import Settings


@pytest.mark.parametrize(
    ("poll", "words"),
    [
        ([{"archive": "vna"}], "there is no destination vna"),
        ([{"archive": "pacs"}] * 2, "named twice"),
        ([{"archive": "pacs", "kind": "orthanc", "orthanc_url": "http://a"}], "kind dicomweb"),
        ([{"archive": "pacs", "kind": "orthanc"}], "orthanc_url go together"),
    ],
)
def test_mistakes_between_polls_and_destinations_are_named(poll: Any, words: str) -> None:
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}

    with pytest.raises(ValueError, match=words):
        Settings(destinations=[destination], poll=poll)
