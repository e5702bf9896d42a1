"""A study as an archive forwards it: with a dose report, Secondary Captures and projections."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from sample_images import FILM
from sending import datasets_of
from services import Site, running, wait_for

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]

COMPANIONS = {
    "Secondary Capture": uid.SecondaryCaptureImageStorage,
    "projection": uid.BreastProjectionXRayImageStorageForPresentation,
    "dose report": uid.XRayRadiationDoseSRStorage,
    "key objects": uid.KeyObjectSelectionDocumentStorage,
    "structured report": uid.EnhancedSRStorage,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), bundle)
    with running(site, "archive", "node"):
        yield site


def study(*companions: str) -> list[Dataset]:
    """Return objects of some SOP Classes, then the four views, all of one study."""
    views = datasets_of(FILM)
    others = []
    for number, sop_class in enumerate(companions):
        (other, *_) = datasets_of(FILM)
        other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = sop_class
        other.SOPInstanceUID = f"{other.SOPInstanceUID[:58]}.7{number}"
        other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
        others.append(other)
    return [*others, *views]


def as_documented(resource: str) -> str:
    """Return the body of the call to Orthanc in docs/ways/orthanc.md, for one resource."""
    (body,) = re.findall(r"-d '(.*)'", (ROOT / "docs/ways/orthanc.md").read_text())
    return body.replace("<study id>", resource)


def forward(site: Site, datasets: list[Dataset]) -> None:
    """Store data sets in the archive, and have it send their study to the node."""
    for dataset in datasets:
        content = BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        study_id = site.archive.send("/instances", content.getvalue())["ParentStudy"]
    body = as_documented(study_id).encode()
    site.archive.send("/modalities/node/store", body)


def test_whole_study_arrives_by_the_documented_call(site: Site) -> None:
    # CT is not accepted: the archive skips it, and sends what stands behind it.
    sent = study(uid.CTImageStorage, *COMPANIONS.values())
    study_uid = str(sent[0].StudyInstanceUID)

    forward(site, sent)

    wait_for(
        lambda: site.summary(study_uid) and len(site.study_record(study_uid)["instances"]) == 9,
        seconds=60,
        what="the study is registered",
    )
    rows = site.study_record(study_uid)["instances"]
    reasons = {row["sop_class_uid"]: row["reason"] for row in rows}
    assert all(reasons.pop(sop_class) == "not-a-mammogram" for sop_class in COMPANIONS.values())
    assert [row["state"] for row in rows].count("registered") == 4


def test_script_that_forwards_skips_what_the_node_refuses() -> None:
    script = (ROOT / "deploy/orthanc/route.lua").read_text()

    assert "Permissive = true" in script
