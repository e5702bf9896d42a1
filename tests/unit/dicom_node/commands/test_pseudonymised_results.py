"""Objects that are rendered under pseudonyms name no patient, and pass the validators' rules."""

import re
from pathlib import Path

import documents
import pydicom
import pytest
from objects_factory import STUDY_UID, finding
from studies_on_disk import four_views, node

from dicom_node.facts.pseudonyms import Pseudonyms
from dicom_node.spool.identity_key import identity_key
from dicom_node.spool.local_disk import Spool


def rendered(tmp_path: Path) -> tuple[Path, bytes]:
    """Render a study by the documented command; return the folder and the key of the node."""
    study, document = four_views(tmp_path, finding())
    key = identity_key(Spool(tmp_path / "spool"))
    config = tmp_path / "mammoclip.toml"
    config.write_text(f'spool = "{tmp_path / "spool"}"\n')
    out = tmp_path / "out"
    page = documents.ROOT / "docs" / "ways" / "lists.md"
    (line,) = re.findall(r"^mammoclip-node (render .*)$", documents.text_of(page), re.MULTILINE)
    words = {"STUDY": study, "outside": out, "mammoclip.toml": config}
    command = [words.get(word, word) for word in line.split()]
    done = node(*command, "--findings", document, "--profile", "ohif")
    assert done.exit_code == 0, done.output
    return out, key


def test_rendered_objects_have_pseudonyms(tmp_path: Path) -> None:
    out, key = rendered(tmp_path)

    files = list(out.iterdir())
    assert files
    for file in files:
        content = file.read_bytes()
        assert not [word for word in (b"Test^Mam", b"TEST-1", b"ACC-1") if word in content]
        assert STUDY_UID.encode() not in content
        made = pydicom.dcmread(file)
        assert made.StudyInstanceUID == Pseudonyms(key).uid(STUDY_UID)
        assert made.PatientIdentityRemoved == "YES"


@pytest.mark.long
def test_rendered_objects_with_pseudonyms_are_valid(tmp_path: Path) -> None:
    out, _ = rendered(tmp_path)

    checked = node("validate", out)

    assert checked.exit_code == 0, checked.output


def test_pseudonyms_without_a_key_are_refused(tmp_path: Path) -> None:
    study, document = four_views(tmp_path, finding())
    command = ["render", study, "--out", tmp_path / "out", "--findings", document]
    config = tmp_path / "mammoclip.toml"
    config.write_text(f'spool = "{tmp_path / "none"}"\n')

    assert "give --config" in node(*command, "--pseudonyms").output
    done = node(*command, "--pseudonyms", "--config", config)
    assert done.exit_code == 1
    assert "has no key for pseudonyms yet" in done.stderr
