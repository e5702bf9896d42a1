"""What comes by the further ways into a node, whole or broken, stands in no line of its log."""

import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from node_factory import four_views
from ports import free_port
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from services import BIN, Service, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

NAME, PATIENT_ID, BIRTH = "Quellwasser^Ottilie", "KLINIK-90817263", "19470302"
WORDS = ("Quellwasser", "Ottilie", PATIENT_ID, BIRTH)
SHOWN = f"{NAME} {PATIENT_ID} {BIRTH}"
MPPS = "1.2.840.10008.3.1.2.3.3"
HEADERS = {
    "Content-Type": 'multipart/related; type="application/dicom"; boundary=frontier',
    "Authorization": "Bearer a-token-of-24-characters",
}

SETTINGS = """
spool = "spool"
[receive]
port = {dicom}
minimum_free_bytes = 1
announcers = ["SCANNER"]
[model]
accept = "Apache-2.0 demonstration use"
[settling]
idle_seconds = 1
grace_seconds = 0.5
[broker]
url = "redis://127.0.0.1:{broker}/0"
[hl7]
enabled = true
port = {hl7}
[dicomweb]
enabled = true
port = {web}
[[dicomweb.clients]]
name = "viewer"
token = "a-token-of-24-characters"
may = ["store", "read"]
[console]
enabled = true
port = {console}
"""


class Ways:
    """A node process with every way in, and how things are sent to it."""

    def __init__(self, folder: Path) -> None:
        self.ports = {name: free_port() for name in ("dicom", "broker", "hl7", "web", "console")}
        file = folder / "mammoclip.toml"
        file.write_text(SETTINGS.format(**self.ports))
        file.chmod(0o600)
        self.spool = folder / "spool"
        command = [str(BIN / "mammoclip-node"), "serve"]
        self.node = Service("node", command, folder / "node.log", {"MAMMOCLIP_CONFIG": str(file)})

    def start(self) -> None:
        self.node.start()
        for name in ("dicom", "hl7", "web", "console"):
            wait_for(lambda name=name: self._listens(name), seconds=120, what=f"{name} listens")

    def _listens(self, name: str) -> bool:
        self.node.require_alive()
        try:
            socket.create_connection(("127.0.0.1", self.ports[name]), timeout=1).close()
        except OSError:
            return False
        return True

    def hl7(self, content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.ports["hl7"]), timeout=30) as line:
            line.sendall(b"\x0b" + content + b"\x1c\r")
            line.shutdown(socket.SHUT_WR)
            return line.makefile("rb").read()

    def mpps(self, dataset: Dataset, uid: str) -> int | None:
        entity = AE(ae_title="SCANNER")
        entity.add_requested_context(MPPS, ImplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", self.ports["dicom"], ae_title="MAMMOCLIP")
        assert association.is_established
        try:
            status, _ = association.send_n_create(dataset, MPPS, uid)
            return status.get("Status")
        finally:
            association.release()

    def web(self, method: str, path: str, **how: object) -> int:
        url = f"http://127.0.0.1:{self.ports['web']}/dicomweb/{path}"
        return requests.request(method, url, timeout=60, **{"headers": HEADERS, **how}).status_code

    def console(self, method: str, path: str, **how: object) -> int:
        url = f"http://127.0.0.1:{self.ports['console']}/{path}"
        return requests.request(method, url, timeout=60, **how).status_code


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    ways = Ways(tmp_path_factory.mktemp("ways"))
    try:
        ways.start()
        yield ways
    finally:
        ways.node.stop()


def images() -> list[Dataset]:
    found = four_views(PatientName=NAME, PatientID=PATIENT_ID, PatientBirthDate=BIRTH)
    for one in found:
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return list(found)


def parts(*files: bytes) -> bytes:
    head = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + one + b"\r\n" for one in files) + b"--frontier--\r\n"


def test_log_quotes_nothing_that_came_by_the_further_ways(ways: Ways) -> None:
    _by_the_web(ways)
    _by_hl7(ways)
    _by_a_modality(ways)
    _by_the_console(ways)
    wait_for(
        lambda: not any((ways.spool / "incoming").iterdir()),
        seconds=60,
        what="everything that came is registered",
    )
    ways.node.stop()

    log = ways.node.output()
    assert "node_stopped" in log
    assert [word for word in WORDS if word in log] == []
    assert [word for word in WORDS if quote(word) in log] == []


def _by_the_web(ways: Ways) -> None:
    files = []
    for one in images():
        content = BytesIO()
        one.save_as(content, enforce_file_format=True)
        files.append(content.getvalue())
    assert ways.web("POST", "studies", data=parts(*files)) == 200
    cut_off = files[0][: len(files[0]) // 2]
    for body in (parts(cut_off), parts(SHOWN.encode()), SHOWN.encode(), files[0]):
        ways.web("POST", "studies", data=body)
    ways.web("POST", f"studies/{quote(SHOWN)}", data=parts(*files))
    ways.web("GET", f"studies?PatientName={quote(NAME)}&PatientID={PATIENT_ID}")
    ways.web("GET", f"studies/{PATIENT_ID}/metadata")
    ways.web("POST", "studies", headers={"Authorization": f"Bearer {SHOWN}"})


def _by_hl7(ways: Ways) -> None:
    head = "MSH|^~\\&|KIS|KLINIK|MAMMOCLIP|NODE|20260102101500||ADT^{}|M1|P|2.5.1\r"
    patient = f"PID|1||{PATIENT_ID}^^^KLINIK||{NAME}||{BIRTH}|F\r"
    merged = f"MRG|{PATIENT_ID}^^^KLINIK\r"
    whole = head.format("A08") + "EVN|A08|20260102101500\r" + patient
    assert b"MSA|AA" in ways.hl7(whole.encode())
    for text in (
        head.format("A40") + patient + merged,
        head.format(f"A08^{NAME}") + patient,
        head.format("R01") + patient,
        head.format("A08") + patient.replace(BIRTH, f"{BIRTH}?{NAME}"),
        patient,
        SHOWN,
    ):
        ways.hl7(text.encode())


def _by_a_modality(ways: Ways) -> None:
    step = Dataset()
    step.PatientName, step.PatientID, step.PatientBirthDate = NAME, PATIENT_ID, BIRTH
    step.PerformedProcedureStepDescription = SHOWN[:64]
    ways.mpps(step, "1.2.3.400")
    scheduled = Dataset()
    scheduled.StudyInstanceUID = "1.2.3"
    step.ScheduledStepAttributesSequence = [scheduled]
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.PerformedSeriesSequence = []
    ways.mpps(step, "1.2.3.401")
    ways.mpps(step, "1.2.3.401")


def _by_the_console(ways: Ways) -> None:
    ways.console("POST", "sign-in", data={"name": SHOWN, "password": SHOWN})
    ways.console("GET", f"studies?search={quote(SHOWN)}")
    ways.console("GET", f"{quote(SHOWN)}")
    ways.console("GET", "api/studies", headers={"Authorization": f"Bearer {PATIENT_ID}"})
