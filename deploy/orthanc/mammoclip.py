"""Orthanc's way to the node: every stable study of mammograms is sent, and its result is shown.

A plugin for Orthanc's Python plugin (4.0 or later), of the standard library alone; the files
beside it belong to it. In Orthanc's configuration:

    "Plugins": ["/usr/share/orthanc/plugins/libOrthancPython.so"],
    "PythonScript": "/etc/orthanc/mammoclip.py",
    "DicomModalities": {"mammoclip": ["MAMMOCLIP", "node.example", 11112]},
    "StableAge": 30,
    "MammoClip": {"Modality": "mammoclip", "Queue": "/var/lib/orthanc/mammoclip.sqlite"}

What is to be sent is kept in a file of its own (`Queue`) until the node has taken it, and how far
Orthanc's list of changes was read is kept there too: nothing is lost if Orthanc or the node is
killed. Of each study the mammography series are sent, once, and again if images come late or are
replaced. Studies that were there before the plugin are sent only on request.

The button "Analyse mammograms" on the page of a study, or `POST /mammoclip/studies/{id}/analyse`,
sends one now. `GET /mammoclip/studies` lists what waits. State and result are metadata 4201 and
4202 of the study; from Orthanc 1.12 on also labels, which may hold no spaces: `AI_done`,
`AI_flagged` (a finding above its threshold) and `AI_failed`.
"""

import contextlib
import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import orthanc  # type: ignore[import-not-found]
from mammoclip_explorer import EXPLORER  # type: ignore[import-not-found]
from mammoclip_queue import Queue  # type: ignore[import-not-found]
from mammoclip_report import remarks_in, summary_in  # type: ignore[import-not-found]

STATE, RESULT = "4201", "4202"
"""Metadata of a study: one word, and a JSON document; numbers from 1024 on are free for users."""

LABELS = {"done": "AI_done", "flagged": "AI_flagged", "failed": "AI_failed"}
MANUFACTURER = ("Mammo-CLIP DICOM project", "mammoclip-dicom")
"""Manufacturer and model name of the node's results."""

OUTCOMES = {"111241": "done", "111242": "flagged", "111243": "done", "111244": "flagged"}
"""Its values: all or some algorithms succeeded, without or with findings; else it has failed."""

FAILED_AFTER = 10
"""Attempts after which a study counts as failed; it is tried further, at the longest wait."""

SOME_AFTER = 3
"""Attempts after which a study counts as sent of which the node goes on to refuse some objects."""

LOOK_SECONDS = 5.0
STUCK_SECONDS = 900.0
"""How long a job may be without progress: one object on a slow line is sent within that."""

MOST_TEXT = 4000


def get(path: str) -> Any:
    """Return what Orthanc answers, or None if there is nothing."""
    try:
        return json.loads(orthanc.RestApiGet(path))
    except orthanc.OrthancException:
        return None
    except ValueError:
        return None


class StuckError(Exception):
    """A job of Orthanc goes on no more: others would fare no better now."""


class Forwarding:
    """One thread that reads Orthanc's changes, sends studies, and looks for their results."""

    def __init__(self, queue: Queue, modality: str) -> None:
        self._queue = queue
        self._modality = modality
        self._wake = threading.Event()
        self._stopping = False
        self._series: dict[str, tuple[str | None, str | None]] = {}
        self._has_labels = bool((get("/system") or {}).get("HasLabels"))
        self._thread = threading.Thread(target=self._run, name="mammoclip", daemon=True)

    def start(self) -> None:
        """Begin; Orthanc's own services are there by then."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    def stop(self) -> None:
        """End after the step under way."""
        self._stopping = True
        self._wake.set()

    def analyse(self, study: str) -> bool:
        """Have a study sent at once; return whether it has any mammogram."""
        images = self._mammograms(study)
        if images is None:
            return False
        self._queue.enter(study, images[1], urgent=True)
        self._show(study, "queued")
        self.wake()
        return True

    def waiting(self) -> list[dict[str, Any]]:
        """List what is still to be sent."""
        rows = self._queue.rows("SELECT study, attempts, due, reason FROM queue ORDER BY due")
        return [
            {"study": study, "attempts": attempts, "due": round(due), "reason": reason}
            for study, attempts, due, reason in rows
        ]

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self.step()
            except Exception as error:  # noqa: BLE001  a fault of one step is none of the next
                orthanc.LogError(f"mammoclip: {type(error).__name__}: {error}")
            self._wake.wait(LOOK_SECONDS)

    def step(self) -> None:
        """Do what there is to do."""
        self._read_changes()
        for (study,) in self._queue.rows("SELECT study FROM unsettled"):
            self._settle(study)
        while not self._stopping and (due := self._queue.due()) is not None:
            self._send(*due)

    def _read_changes(self) -> None:
        cursor = self._queue.cursor()
        if cursor is None:
            # What came before the plugin did is sent only on request.
            newest = get("/changes?last") or {}
            self._queue.read_up_to(newest.get("Last", 0), [])
            return
        while not self._stopping:
            answer = get(f"/changes?since={cursor}&limit=100")
            if answer is None or not answer["Changes"]:
                return
            studies: set[str] = set()
            reports: list[tuple[str, str]] = []
            for change in answer["Changes"]:
                if change["ChangeType"] == "NewInstance":
                    self._look_at(change["ID"], studies, reports)
            for study, report in reports:
                self._tell_result(study, report)
            cursor = answer["Last"]
            self._queue.read_up_to(cursor, studies)
            if answer["Done"]:
                return

    def _look_at(self, instance: str, studies: set[str], reports: list[tuple[str, str]]) -> None:
        found = get(f"/instances/{instance}")
        if found is None:  # deleted since
            return
        series = found["ParentSeries"]
        if series not in self._series:
            about = get(f"/series/{series}") or {}
            tags = about.get("MainDicomTags", {})
            if len(self._series) > 1000:
                self._series.clear()
            self._series[series] = (about.get("ParentStudy"), tags.get("Modality"))
        study, modality = self._series[series]
        if study and modality == "MG":
            studies.add(study)
        elif study and modality == "SR":
            reports.append((study, instance))

    def _settle(self, study: str) -> None:
        about = get(f"/studies/{study}")
        if about is None:
            self._queue.leave(study)
        elif about["IsStable"]:
            images = self._mammograms(study)
            sent = self._queue.rows("SELECT images FROM sent WHERE study = ?", study)
            if images is None or (sent and sent[0][0] == images[1]):
                self._queue.leave(study)
            else:
                self._queue.enter(study, images[1])
                self._show(study, "queued")

    def _mammograms(self, study: str) -> tuple[list[str], str] | None:
        """Return the mammography series of a study, and a digest of their images; None if none."""
        found = get(f"/studies/{study}/series")
        chosen = [
            one
            for one in found or []
            if one.get("MainDicomTags", {}).get("Modality") == "MG"
            and one.get("MainDicomTags", {}).get("Manufacturer") != MANUFACTURER[0]
        ]
        if not chosen:
            return None
        content = []
        for series in chosen:
            for instance in series["Instances"]:
                # An image that was replaced has the same identifier, and another attachment.
                whole = orthanc.RestApiGet(f"/instances/{instance}/attachments/dicom/md5")
                content.append(f"{instance} {whole.decode('ascii')}")
        digest = hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest()
        return [series["ID"] for series in chosen], digest

    def _send(self, study: str, images: str, attempts: int) -> None:
        mammograms = self._mammograms(study)
        if mammograms is None:
            self._queue.leave(study)
            return
        self._show(study, "sending")
        reason = self._stored(mammograms[0], accepts_some=attempts >= SOME_AFTER)
        if reason is None:
            self._queue.note_sent(study, images)
            if mammograms[1] != images:
                self._queue.enter(study, mammograms[1])
            self._show(study, "sent")
            return
        attempts += 1
        self._queue.postpone(study, attempts, reason)
        self._show(study, "failed" if attempts >= FAILED_AFTER else "waiting", reason=reason)
        orthanc.LogWarning(f"mammoclip: a study could not be sent and is tried again: {reason}")

    def _stored(self, series: list[str], *, accepts_some: bool) -> str | None:
        """Send series to the node; return None once it has them, or why it has not."""
        try:
            return self._stored_or_stuck(series, accepts_some=accepts_some)
        except StuckError as error:
            return str(error)

    def _stored_or_stuck(self, series: list[str], *, accepts_some: bool) -> str | None:
        reason = self._sent(series)
        if reason is None:
            return None
        # Not by a permissive job, which ends with success though the node was away: one by one,
        # so that an object that the node refuses keeps back none of those behind it.
        failed = count = 0
        for one in series:
            for instance in (get(f"/series/{one}") or {}).get("Instances", []):
                count += 1
                why = self._sent([instance])
                if why is not None:
                    failed, reason = failed + 1, why
                    if not self._answers():
                        return why
        if not failed or (accepts_some and failed < count):
            return None
        return f"the node did not take {failed} of {count} objects: {reason}"

    def _answers(self) -> bool:
        try:
            orthanc.RestApiPost(f"/modalities/{self._modality}/echo", "{}")
        except orthanc.OrthancException:
            return False
        return True

    def _sent(self, resources: list[str]) -> str | None:
        """Send resources by a job, which this thread waits for and Orthanc does not."""
        wanted = {"Resources": resources, "Asynchronous": True}
        try:
            path = f"/modalities/{self._modality}/store"
            job = json.loads(orthanc.RestApiPost(path, json.dumps(wanted)))["ID"]
        except (orthanc.OrthancException, ValueError, KeyError) as error:
            return f"Orthanc does not send: {error}"
        reached, since = None, time.monotonic()
        while not self._stopping:
            state = get(f"/jobs/{job}")
            if state is None:
                return "the job is gone"
            if state["State"] == "Success":
                return None
            if state["State"] == "Failure":
                return state.get("ErrorDetails") or state.get("ErrorDescription") or "it failed"
            if (now_at := (state["State"], state.get("Progress"))) != reached:
                reached, since = now_at, time.monotonic()
            elif time.monotonic() - since > STUCK_SECONDS:
                with contextlib.suppress(orthanc.OrthancException):
                    orthanc.RestApiPost(f"/jobs/{job}/cancel", "{}")
                raise StuckError(
                    f"Orthanc's job made no progress for {STUCK_SECONDS:.0f} s ({state['State']})"
                    " and was cancelled: see Jobs in Orthanc's explorer"
                )
            time.sleep(0.1)
        return "Orthanc stops"

    def _tell_result(self, study: str, instance: str) -> None:
        """Show the result of the newest report of the node."""
        tags = get(f"/instances/{instance}/simplified-tags") or {}
        written_by = (tags.get("Manufacturer"), tags.get("ManufacturerModelName"))
        if written_by != MANUFACTURER:
            return
        code, meaning = summary_in(tags)
        if code is None:
            return
        result = {
            "outcome": meaning,
            "report": tags.get("SOPInstanceUID"),
            "made": f"{tags.get('ContentDate', '')} {tags.get('ContentTime', '')}".strip(),
            "remarks": remarks_in(tags),
        }
        try:
            former = json.loads(orthanc.RestApiGet(f"/studies/{study}/metadata/{RESULT}"))
        except (orthanc.OrthancException, ValueError):
            former = {}
        if former.get("made", "") > result["made"]:
            return
        write_metadata(study, RESULT, json.dumps(result)[:MOST_TEXT])
        self._show(study, OUTCOMES.get(code, "failed"), is_result=True)

    def _show(self, study: str, state: str, *, reason: str = "", is_result: bool = False) -> None:
        """Write the state of a study; what is being sent takes away no result but a failure."""
        try:
            write_metadata(study, STATE, f"{state}: {reason}" if reason else state)
            if not self._has_labels or (not is_result and state not in {"failed", "sent"}):
                return
            wanted = {LABELS[state]} if state in LABELS else set()
            if state == "flagged":
                wanted.add(LABELS["done"])
            for label in LABELS.values():
                path = f"/studies/{study}/labels/{label}"
                if label in wanted:
                    orthanc.RestApiPut(path, "")
                elif is_result or label == LABELS["failed"]:
                    with contextlib.suppress(orthanc.OrthancException):
                        orthanc.RestApiDelete(path)
        except orthanc.OrthancException as error:  # deleted since, or read-only
            orthanc.LogWarning(f"mammoclip: the state of a study cannot be shown: {error}")


def write_metadata(study: str, name: str, value: str) -> None:
    """Write metadata of a study whatever it was before."""
    path = f"/studies/{study}/metadata/{name}"
    try:
        orthanc.RestApiPut(path, value)
    except orthanc.OrthancException:
        # From Orthanc 1.11 on what is there is replaced only by one who names its revision.
        orthanc.RestApiDelete(path)
        orthanc.RestApiPut(path, value)


def on_change(change: Any, _level: Any, _resource: str) -> None:
    """Wake the thread; Orthanc waits for this call."""
    if change == orthanc.ChangeType.ORTHANC_STOPPED:
        forwarding.stop()
    elif change == orthanc.ChangeType.ORTHANC_STARTED:
        forwarding.start()
    elif change in (orthanc.ChangeType.STABLE_STUDY, orthanc.ChangeType.NEW_SERIES):
        forwarding.wake()


def on_analyse(output: Any, _uri: str, **request: Any) -> None:
    """Answer POST /mammoclip/studies/{id}/analyse."""
    if request["method"] != "POST":
        output.SendMethodNotAllowed("POST")
        return
    if forwarding.analyse(request["groups"][0]):
        answer = {"message": "The study is being sent to be analysed."}
    else:
        answer = {"message": "The study has no mammogram: nothing is sent."}
    output.AnswerBuffer(json.dumps(answer), "application/json")


def on_list(output: Any, _uri: str, **request: Any) -> None:
    """Answer GET /mammoclip/studies."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    output.AnswerBuffer(json.dumps(forwarding.waiting(), indent=1), "application/json")


def begin() -> Forwarding:
    """Read the configuration and register everything."""
    configuration = json.loads(orthanc.GetConfiguration())
    own = configuration.get("MammoClip", {})
    folder = configuration.get("StorageDirectory", ".")
    file = Path(own.get("Queue") or Path(folder) / "mammoclip.sqlite")
    made = Forwarding(Queue(file), own.get("Modality", "mammoclip"))
    orthanc.RegisterOnChangeCallback(on_change)
    orthanc.RegisterRestCallback("/mammoclip/studies/([0-9a-f-]+)/analyse", on_analyse)
    orthanc.RegisterRestCallback("/mammoclip/studies", on_list)
    orthanc.ExtendOrthancExplorer(EXPLORER)
    return made


forwarding = begin()
