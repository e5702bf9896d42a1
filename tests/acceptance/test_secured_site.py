"""A whole site under TLS, an ACL and planted patient data: it works, and tells nobody."""

import base64
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import documents
import pydicom
import pytest
import redis
from certificates import Authority
from ports import free_port
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import BIN, Redis, Site, running, wait_for
from talkative_archives import TalkativeArchives

from dicom_node.tls import client_context

pytestmark = pytest.mark.timeout(600)

TESTS = Path(__file__).parents[1]
BROKER_PASSWORD = "s3cret-of-the-broker"
WEB_PASSWORD = "s3cret-of-the-web"

PLANTED = {
    "PatientName": "Quellwasser^Ottilie",
    "PatientID": "KLINIK-90817263",
    "PatientBirthDate": "19470302",
    "AccessionNumber": "ACC-77120934",
    "PatientAddress": "Rosenweg 99, 12345 Neustadt",
    "PatientTelephoneNumbers": "0302-7766554",
    "OtherPatientNames": "Zwirbelmann^Ottilie",
    "ReferringPhysicianName": "Ueberweiserin^Dr",
    "OperatorsName": "Aufnehmer^Anton",
    "InstitutionName": "Krankenhaus Geheimtal",
    "StudyDescription": "Verdacht links Knoten",
    "PatientComments": "Tastbefund seit Mai",
}
CORRECTED = {"PatientName": "Klarname^Ottilie", "PatientID": "KLINIK-55667788"}
WORDS = (
    *(
        part
        for value in (*PLANTED.values(), *CORRECTED.values())
        for part in re.split(r"[\^]", value)
        if part != "Dr"
    ),
    BROKER_PASSWORD,
    WEB_PASSWORD,
)


def planted(number: int, **changes: Any) -> list[Dataset]:
    """Return the film study as one of a patient who is to stay unknown."""
    datasets = datasets_of(FILM)
    for dataset in datasets:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:58]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in {**PLANTED, **changes}.items():
            setattr(dataset, keyword, value)
    return datasets


def broken_in_every_image(number: int) -> list[Dataset]:
    datasets = planted(number)
    for dataset in datasets:
        dataset.decompress(generate_new_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PixelData = dataset.PixelData[:1000]
    return datasets


class SecuredSite(Site):
    """A site of TLS alone: listener, archive, and a broker whose user may do little.

    Its worker's decoder of JPEG-LS crashes.
    """

    def __init__(self, folder: Path, bundle: Path) -> None:
        super().__init__(folder, bundle)
        self.worker.command = [str(BIN / "celery"), "-A", "planted_faults", "worker"]
        self.environment |= {
            "PLANTED_FAULT": "abort",
            "PLANTED_MARKER": str(folder / "has-happened"),
            "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(TESTS)]),
        }
        self.authority = Authority(folder / "authority")
        shown = self.authority.issue("broker")
        (rule,) = [
            block
            for block in documents.blocks_of(documents.ROOT / "docs" / "security.md")
            if block.startswith("user mammoclip ")
        ]
        rule = rule.replace("\\\n", " ").replace(">PASSWORD", f">{BROKER_PASSWORD}")
        options = [
            "--tls-cert-file", shown.file, "--tls-key-file", shown.key,
            "--tls-ca-cert-file", self.authority.file, "--tls-auth-clients", "yes",
            "--user", *rule.split()[1:],
        ]  # fmt: skip
        self.broker = Redis(folder, *map(str, options), tls=True)  # type: ignore[assignment]
        self._secure_archive()
        self._secure_settings()

    def _secure_archive(self) -> None:
        file = self.folder / "orthanc.json"
        own = self.authority.issue("archive")
        configuration = json.loads(file.read_text())
        configuration |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(own.file),
            "DicomTlsPrivateKey": str(own.key),
            "DicomTlsTrustedCertificates": str(self.authority.file),
            "DicomTlsRemoteCertificateRequired": True,
        }
        file.write_text(json.dumps(configuration))

    def _secure_settings(self) -> None:
        own = self.authority.issue("MAMMOCLIP")
        (self.folder / "broker-url").write_text(
            f"rediss://mammoclip:{BROKER_PASSWORD}@localhost:{self.broker.port}/0\n"
        )
        text = self.config.read_text()
        text = re.sub(r'\[broker\]\nurl = ".*"', '[broker]\nurl = { file = "broker-url" }\n'
                      'key_prefix = "mammoclip:"', text)  # fmt: skip
        text = text.replace("[receive]\n", '[receive]\ntls = true\ncertificate_names = "subject"\n')
        text = text.replace('host = "127.0.0.1"', 'host = "localhost"\ntls = true')
        text += f"""
[[destinations]]
name = "absent"
ae_title = "ABSENT"
host = "localhost"
port = {free_port()}
[[destinations]]
name = "web"
kind = "dicomweb"
url = "https://localhost:{free_port()}/dicom-web"
username = "node"
password = {{ environment = "WEB_PASSWORD" }}
[[receive.senders]]
ae_title = "SCANNER"
networks = ["127.0.0.0/8"]
[tls]
certificate = "{own.file}"
private_key = "{own.key}"
certificate_authorities = "{self.authority.file}"
revocation_lists = "{self.authority.revocation_list()}"
"""
        self.config.write_text(text)
        self.environment["WEB_PASSWORD"] = WEB_PASSWORD

    def tls_args(self, name: str) -> tuple[Any, str]:
        """Return what a scanner of this name calls the node with."""
        tls = self.authority.settings(self.authority.issue(name))
        return client_context(tls), "localhost"

    def administrator(self) -> redis.Redis:
        """Return a client of the broker that may do everything."""
        own = self.authority.issue("administrator")
        return redis.Redis(
            host="localhost", port=self.broker.port, ssl=True,
            ssl_ca_certs=str(self.authority.file), ssl_certfile=str(own.file),
            ssl_keyfile=str(own.key), socket_timeout=None,
        )  # fmt: skip


class Run:
    """What a whole run with failures in it has left behind."""

    def __init__(self, site: SecuredSite) -> None:
        self.site = site
        self.traffic: list[str] = []
        self.titles: set[str] = set()
        self.said: list[str] = []
        self.denied: list[Any] = []
        self.delivered: list[Dataset] = []
        self._ended = threading.Event()

    def go(self) -> None:
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            self._send_everything()
            self.said += [
                done.stdout + done.stderr
                for done in (
                    self.site.run("studies"),
                    self.site.run("studies", "--json"),
                    self.site.run("check"),
                    self.site.run("show", self.good[0].StudyInstanceUID),
                    self.site.run("show", self.bad[0].StudyInstanceUID, "--json"),
                    self.site.run("show", self.corrected),
                    self.site.run("show", PLANTED["PatientID"]),
                )
            ]
        finally:
            self._ended.set()
            with self.site.administrator() as client:
                self.denied = client.acl_log()  # the watcher sees this, too, and ends
            watcher.join(10)

    def _send_everything(self) -> None:
        site = self.site
        self.good, self.bad = planted(1), broken_in_every_image(2)
        scanner = site.tls_args("SCANNER")
        others = planted(1, PatientName="Anders^Name", PatientID="OTHER")[:1]
        others[0].SOPInstanceUID = f"{others[0].SOPInstanceUID}.9"
        others[0].file_meta.MediaStorageSOPInstanceUID = others[0].SOPInstanceUID
        for datasets in (self.good, self.bad, others):
            assert all_stored(send(datasets, site.node_port, tls_args=scanner))
        first, last = planted(4)[:1], planted(4, **CORRECTED)[:1]
        for datasets in (first, last):
            assert all_stored(send(datasets, site.node_port, tls_args=scanner))
        self.corrected = last[0].StudyInstanceUID
        private = planted(3)[:1]
        private[0].SOPClassUID = SecondaryCaptureImageStorage
        assert all_stored(send(private, site.node_port, tls_args=scanner))
        for calling, name in (("SCANNER", "ROOM2"), ("ROOM2", "ROOM2")):
            with suppress(AssertionError):  # rejected
                send(self.good, site.node_port, calling=calling, tls_args=site.tls_args(name))
        wait_for(self._is_settled, seconds=180, what="every study is delivered or has failed")

    def _is_settled(self) -> bool:
        for service in (self.site.node, self.site.worker):
            service.require_alive()
        bad = self.site.summary(self.bad[0].StudyInstanceUID)
        good = self.site.summary(self.good[0].StudyInstanceUID)
        if bad is None or bad.condition != "failed" or good is None:
            return False
        failures = ("absent", "web", "refusing", "talkative", "silent")
        if not all(self._has_failed(name) for name in failures):
            return False
        held = self.site.archive.instances(self.good[0].StudyInstanceUID)
        self.delivered = [pydicom.dcmread(BytesIO(content)) for content in held]
        return {"SR", "OT"} <= {dataset.Modality for dataset in self.delivered}

    def _has_failed(self, destination: str) -> bool:
        pattern = rf"delivery_(refused|postponed) .*destination={destination} "
        return re.search(pattern, self.site.worker.output()) is not None

    def _watch(self) -> None:
        """Note all that goes through the broker, and what processes call themselves."""
        with self.site.administrator() as client, client.monitor() as monitor:
            while not self._ended.is_set():
                self.traffic.append(str(monitor.next_command()["command"]))
                if len(self.traffic) % 20 == 1:
                    self.titles |= titles_of(self.site)


def titles_of(site: Site) -> set[str]:
    """Return the command lines and names of all processes of a site."""
    groups = {service.process.pid for service in (site.node, site.worker) if service.process}
    titles = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            if os.getpgid(int(process.name)) in groups:
                titles.add((process / "cmdline").read_text() + (process / "comm").read_text())
    return titles


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Run]:
    site = SecuredSite(tmp_path_factory.mktemp("secured"), bundle)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEB_PASSWORD", WEB_PASSWORD)  # to read the settings in this process too
        told = (*(PLANTED[one] for one in ("PatientName", "PatientID")), WEB_PASSWORD)
        with TalkativeArchives(" ".join(told)) as archives:
            site.config.write_text(site.config.read_text() + archives.settings())
            with running(site, "archive", "broker", "node", "worker"):
                run = Run(site)
                run.go()
                yield run


def test_study_comes_back_over_tls(run: Run) -> None:
    assert {dataset.PatientID for dataset in run.delivered} == {PLANTED["PatientID"]}


def test_broker_denied_nothing_that_node_and_worker_asked(run: Run) -> None:
    assert [entry["object"] for entry in run.denied] == []


def test_logs_hold_no_patient_and_no_secret(run: Run) -> None:
    for service in (run.site.node, run.site.worker):
        log = service.output()
        assert "association_rejected" in log or "analysis" in log
        assert [word for word in WORDS if word in log] == []


def test_failures_are_in_the_logs(run: Run) -> None:
    log = run.site.node.output()

    assert "certificate-names-another-ae-title" in log
    assert "calling-ae-title-not-recognized" in log
    assert "instance_corrected" in log
    assert "the image crashes its decoder" in run.site.worker.output()


def test_broker_carries_no_patient_and_no_secret(run: Run) -> None:
    commands = [command for command in run.traffic if "LPUSH" in command]
    assert commands, "messages were seen"
    bodies = [
        base64.b64decode(body).decode()
        for command in commands
        for body in re.findall(r'"body": ?\\*"([A-Za-z0-9+/=]+)\\*"', command)
    ]
    for text in (*run.traffic, *bodies):
        assert [word for word in WORDS if word in text] == []


def test_titles_of_processes_hold_no_patient_and_no_secret(run: Run) -> None:
    assert run.titles
    assert [word for word in WORDS for title in run.titles if word in title] == []


def test_commands_say_no_patient_and_no_secret(run: Run) -> None:
    # The last one was asked for a patient by its identifier, and may repeat the question.
    for text in run.said[:-1]:
        assert [word for word in WORDS if word in text] == []


def test_ledger_holds_no_patient_but_in_the_index_of_identifiers(run: Run) -> None:
    with closing(sqlite3.connect(run.site.folder / "spool/ledger.sqlite")) as ledger:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = [name for (name,) in ledger.execute(query).fetchall()]
        rows = {name: ledger.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    holders = {name for name, held in rows.items() for word in WORDS if word in str(held)}

    assert holders == {"study_identifiers"}
