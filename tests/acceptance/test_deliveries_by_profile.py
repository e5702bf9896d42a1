"""Each destination gets exactly the objects of its profile, counted in its own archive."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Orthanc, Site, running

OWN_PROFILE = """
[profiles.paper]
objects = ["presentation_state", "pdf_report", "segmentation"]
"""

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
MAMMOGRAPHY_CAD_SR = "1.2.840.10008.5.1.4.1.1.88.50"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

pytestmark = pytest.mark.timeout(600)


class Deliveries:
    """What QIDO finds in the archive of each profile, and what the model answered."""

    def __init__(self, site: Site, archives: dict[str, Orthanc], uid: str) -> None:
        self.findings = json.loads(site.study_record(uid)["analyses"][-1]["findings"])
        self.archives = archives
        self.listed = {profile: _listed(archive, uid) for profile, archive in archives.items()}

    @property
    def with_region(self) -> int:
        return sum(
            any(finding["regions"] for finding in image["findings"])
            for image in self.findings["images"]
        )

    def counted(self, profile: str) -> Counter[str]:
        """Return how many instances of each SOP class there are."""
        return Counter(found["00080016"]["Value"][0] for found in self.listed[profile])


def _listed(archive: Orthanc, uid: str) -> list[dict[str, Any]]:
    return requests.get(f"{archive.dicomweb_url}/studies/{uid}/instances", timeout=30).json()


def _destination(profile: str, archive: Orthanc, kind: str) -> str:
    lines = ["[[destinations]]", f'name = "{profile}"', f'profile = "{profile}"']
    if kind == "dicom":
        lines += ['ae_title = "ARCHIVE"', 'host = "127.0.0.1"', f"port = {archive.dicom_port}"]
    else:
        lines += ['kind = "dicomweb"', f'url = "{archive.dicomweb_url}"']
    return "\n".join(lines)


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Deliveries]:
    """One study, analysed once, for three archives that each want something else of it."""
    site = Site(tmp_path_factory.mktemp("site"), bundle)
    archives = {"workstation": site.archive}
    for profile in ("pacs", "paper"):
        folder = tmp_path_factory.mktemp(profile)
        archives[profile] = Orthanc(folder, node_port=site.node_port)
    blocks = ['profile = "workstation"', OWN_PROFILE]  # the first is of the site's destination
    blocks += [
        _destination("pacs", archives["pacs"], "dicomweb"),
        _destination("paper", archives["paper"], "dicom"),
    ]
    site.config.write_text("\n".join([site.config.read_text(), *blocks]))
    sent = datasets_of(FILM)
    with ExitStack() as stack:
        for profile in ("pacs", "paper"):
            stack.callback(archives[profile].stop)
            archives[profile].start()
        stack.enter_context(running(site, "archive", "broker", "node", "worker"))
        assert all_stored(send(sent, site.node_port))
        uid = str(sent[0].StudyInstanceUID)
        site.wait_for_condition(uid, "delivered")
        yield Deliveries(site, archives, uid)


def test_the_answer_has_regions_to_send(deliveries: Deliveries) -> None:
    assert len(deliveries.findings["images"]) == 4
    assert deliveries.with_region > 0


def test_workstation_gets_cad_report_and_pictures(deliveries: Deliveries) -> None:
    assert deliveries.counted("workstation") == {MAMMOGRAPHY_CAD_SR: 1, SECONDARY_CAPTURE: 5}


def test_pacs_gets_comprehensive_report_and_pictures(deliveries: Deliveries) -> None:
    assert deliveries.counted("pacs") == {COMPREHENSIVE_SR: 1, SECONDARY_CAPTURE: 5}


def test_own_profile_gets_what_it_lists(deliveries: Deliveries) -> None:
    assert deliveries.counted("paper") == {
        PRESENTATION_STATE: deliveries.with_region,
        SEGMENTATION: deliveries.with_region,
        PDF: 1,
    }


def test_what_two_destinations_take_is_the_same_object(deliveries: Deliveries) -> None:
    pictures = [
        {
            found["00080018"]["Value"][0]
            for found in deliveries.listed[profile]
            if found["00080016"]["Value"][0] == SECONDARY_CAPTURE
        }
        for profile in ("workstation", "pacs")
    ]

    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("profile", "syntax"), [("workstation", ExplicitVRLittleEndian), ("pacs", RLELossless)]
)
def test_pictures_are_compressed_for_who_may_read_them_so(
    deliveries: Deliveries, profile: str, syntax: str
) -> None:
    archive = deliveries.archives[profile]
    found = [
        archive.get_bytes(f"/instances/{one}/metadata/TransferSyntax").decode()
        for one in archive.get("/instances")
        if archive.get_bytes(f"/instances/{one}/metadata/SopClassUid") == SECONDARY_CAPTURE.encode()
    ]

    assert found == [syntax] * 5
