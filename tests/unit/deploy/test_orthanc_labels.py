"""What the plugin shows in an Orthanc that has labels, by a stand-in of Orthanc's module."""

import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "deploy" / "orthanc"
STUDY = "728a00a9"


class OrthancExceptionError(Exception):
    """What Orthanc's module raises where it answers with an error."""


class StandIn:
    """The calls of Orthanc 1.12 that the plugin makes, about one study."""

    def __init__(self, queue: Path) -> None:
        self.labels: set[str] = set()
        self.metadata: dict[str, str] = {}
        self.configuration = {"MammoClip": {"Queue": str(queue)}}
        self.tags: dict[str, Any] = {}
        self.job = "Success"
        self.polls_to_success: int | None = None
        self.posted: list[str] = []
        self.warnings: list[str] = []

    def post(self, path: str, _content: str) -> bytes:
        self.posted.append(path)
        return b'{"ID": "job"}'

    def job_now(self) -> dict[str, Any]:
        """Return the job's state; one that goes on has done a little more at each look."""
        if self.polls_to_success is None:
            return {"State": self.job, "Progress": 0, "ErrorDetails": "refused", "Content": {}}
        self.polls_to_success -= 1
        if self.polls_to_success <= 0:
            return {"State": "Success", "Progress": 100}
        return {"State": "Running", "Progress": 90 - self.polls_to_success}

    def get(self, path: str) -> bytes:
        if path == "/jobs/job":
            return json.dumps(self.job_now()).encode()
        series = {
            "ID": "series",
            "Instances": ["one"],
            "ParentStudy": STUDY,
            "MainDicomTags": {"Modality": "MG"},
        }
        answers: dict[str, Any] = {
            "/system": {"HasLabels": True},
            "/changes?last": {"Last": 0},
            f"/studies/{STUDY}/series": [series],
            f"/studies/{STUDY}": {"IsStable": True},
            "/series/series": series,
            "/instances/one/simplified-tags": self.tags,
        }
        if path.endswith("md5"):
            return b"0" * 32
        if path.startswith(f"/studies/{STUDY}/metadata/"):
            try:
                return self.metadata[path.rsplit("/", 1)[1]].encode()
            except KeyError:
                raise OrthancExceptionError(path) from None
        if path not in answers:
            raise OrthancExceptionError(path)
        return json.dumps(answers[path]).encode()

    def put(self, path: str, content: str) -> None:
        name = path.rsplit("/", 1)[1]
        if "/labels/" in path:
            assert name.replace("_", "").isalnum(), "a label that Orthanc refuses"
            self.labels.add(name)
        else:
            self.metadata[name] = content

    def delete(self, path: str) -> None:
        self.labels.discard(path.rsplit("/", 1)[1])

    def module(self) -> ModuleType:
        made = ModuleType("orthanc")
        members = {
            "OrthancException": OrthancExceptionError,
            "RestApiGet": self.get,
            "RestApiPut": self.put,
            "RestApiDelete": self.delete,
            "RestApiPost": self.post,
            "GetConfiguration": lambda: json.dumps(self.configuration),
            "LogWarning": self.warnings.append,
            "LogError": self.warnings.append,
            "ChangeType": SimpleNamespace(),
        }
        for name in ("OnChangeCallback", "RestCallback"):
            members[f"Register{name}"] = lambda *_: None
        members["ExtendOrthancExplorer"] = lambda *_: None
        for name, member in members.items():
            setattr(made, name, member)
        return made


@pytest.fixture
def orthanc(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path / "queue.sqlite")


@pytest.fixture
def plugin(orthanc: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, "orthanc", orthanc.module())
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("mammoclip", FOLDER / "mammoclip.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    yield made
    for name in ("mammoclip_explorer", "mammoclip_queue", "mammoclip_report"):
        sys.modules.pop(name, None)


def report(code: str, made: str = "101500") -> dict[str, Any]:
    name = {"CodeValue": "111017"}
    summary = {
        "ConceptNameCodeSequence": [name],
        "ConceptCodeSequence": [{"CodeValue": code, "CodeMeaning": f"meaning of {code}"}],
    }
    return {
        "Manufacturer": "Mammo-CLIP DICOM project",
        "ManufacturerModelName": "mammoclip-dicom",
        "SOPInstanceUID": "1.2.3",
        "ContentDate": "20260102",
        "ContentTime": made,
        "ContentSequence": [{"ContentSequence": [summary]}],
    }


@pytest.mark.parametrize(
    ("code", "labels"),
    [
        ("111241", {"AI_done"}),
        ("111242", {"AI_done", "AI_flagged"}),
        ("111244", {"AI_done", "AI_flagged"}),
        ("111245", {"AI_failed"}),
    ],
)
def test_labels_say_what_the_newest_report_says(
    plugin: Any, orthanc: StandIn, code: str, labels: set[str]
) -> None:
    for other in ("111242", "111245", code):
        orthanc.tags = report(other)
        plugin.forwarding._tell_result(STUDY, "one")

    assert orthanc.labels == labels
    assert json.loads(orthanc.metadata["4202"])["outcome"] == f"meaning of {code}"


def test_older_report_and_that_of_others_change_nothing(plugin: Any, orthanc: StandIn) -> None:
    orthanc.tags = report("111241", "120000")
    plugin.forwarding._tell_result(STUDY, "one")
    orthanc.tags = report("111242", "110000")
    plugin.forwarding._tell_result(STUDY, "one")
    orthanc.tags = {**report("111242", "130000"), "Manufacturer": "Another"}
    plugin.forwarding._tell_result(STUDY, "one")

    assert orthanc.labels == {"AI_done"}


def test_study_that_cannot_be_sent_is_failed_in_the_end_and_not_once_it_was_sent(
    plugin: Any, orthanc: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc.job = "Failure"
    assert plugin.forwarding.analyse(STUDY)
    moment = time.time()
    for attempt in range(10):
        monkeypatch.setattr(time, "time", lambda now=moment + 1000.0 * attempt: now)
        plugin.forwarding.step()
    assert orthanc.labels == {"AI_failed"}
    assert orthanc.metadata["4201"].startswith("failed: ")
    assert plugin.forwarding.waiting()[0]["attempts"] == 10

    orthanc.job = "Success"
    monkeypatch.setattr(time, "time", lambda: moment + 20_000.0)
    plugin.forwarding.step()

    assert orthanc.metadata["4201"] == "sent"
    assert orthanc.labels == set()
    assert plugin.forwarding.waiting() == []


@pytest.mark.parametrize("state", ["Running", "Pending", "Paused", "Retry"])
def test_job_without_an_end_is_cancelled_and_the_study_tried_again(
    plugin: Any, orthanc: StandIn, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(plugin, "STUCK_SECONDS", 0.01)
    orthanc.job = state
    assert plugin.forwarding.analyse(STUDY)

    plugin.forwarding.step()

    (waiting,) = plugin.forwarding.waiting()
    assert f"no progress for 0 s ({state})" in waiting["reason"]
    assert waiting["attempts"] == 1
    assert orthanc.metadata["4201"].startswith("waiting: ")
    stored = "/modalities/mammoclip/store"
    assert orthanc.posted == [stored, "/jobs/job/cancel"], "and no object is tried one by one"


def test_job_that_goes_on_is_waited_for_however_long_it_takes(
    plugin: Any, orthanc: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "STUCK_SECONDS", 0.01)
    orthanc.polls_to_success = 4
    assert plugin.forwarding.analyse(STUDY)

    plugin.forwarding.step()

    assert orthanc.metadata["4201"] == "sent"
    assert plugin.forwarding.waiting() == []
