"""The books of a night: what was sent against what the ledger says and the archive holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from night_sender import POISON, Kind, Sent
from services import Orthanc
from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class AnalysisEntry:
    """An analysis as the ledger has it."""

    state: str
    reason: str
    deliveries: Sequence[str]
    delivered_times: int


@dataclass(frozen=True, slots=True)
class HeldObject:
    """A result that the archive holds."""

    sop_instance_uid: str
    patient_id: str


Ledger = Mapping[str, Sequence[AnalysisEntry]]
Archive = Mapping[str, Sequence[HeldObject]]


def ledger_of(session: Session) -> Ledger:
    """Return the analyses of each study, in the order of its revisions."""
    found: dict[str, list[AnalysisEntry]] = {}
    deliveries: dict[int, list[tuple[str, int]]] = {}
    # First, since the night may go on: each then has an analysis among those read afterwards.
    query = (
        "SELECT d.analysis_id, d.state, (SELECT count(*) FROM transitions t WHERE "
        "t.subject = 'delivery' AND t.subject_id = d.id AND t.event = 'deliver') FROM deliveries d"
    )
    for number, state, times in session.execute(text(query)):
        deliveries.setdefault(number, []).append((state, times))
    query = (
        "SELECT s.study_instance_uid, a.id, a.state, a.reason FROM studies s "
        "LEFT JOIN analyses a ON a.study_id = s.id ORDER BY a.revision"
    )
    for uid, number, state, reason in session.execute(text(query)):
        of_study = found.setdefault(uid, [])
        if number is not None:
            its = deliveries.get(number, [])
            states, times = [one for one, _ in its], sum(times for _, times in its)
            of_study.append(AnalysisEntry(state, reason, states, times))
    return found


def archive_of(archive: Orthanc) -> Archive:
    """Return what an archive holds of each study."""
    # The lowest level first: what comes meanwhile then belongs to something that is read later.
    instances = archive.get("/instances?expand")
    series = {one["ID"]: one["ParentStudy"] for one in archive.get("/series?expand")}
    studies = {one["ID"]: one for one in archive.get("/studies?expand")}
    held: dict[str, list[HeldObject]] = {}
    for one in instances:
        of_study = studies[series[one["ParentSeries"]]]
        held.setdefault(of_study["MainDicomTags"]["StudyInstanceUID"], []).append(
            HeldObject(
                one["MainDicomTags"]["SOPInstanceUID"],
                of_study["PatientMainDicomTags"]["PatientID"],
            )
        )
    return held


def complaints(sent: Mapping[str, Sent], ledger: Ledger, archive: Archive) -> list[str]:
    """Return what is wrong, a sentence for each study; nothing after a good night."""
    found = [
        f"{uid} ({one.kind}): {wrong}"
        for uid, one in sent.items()
        if (wrong := _wrong(one, ledger.get(uid), archive.get(uid, ())))
    ]
    for name, known in (("ledger", ledger), ("archive", archive)):
        found += [f"{uid}: in the {name}, and was never sent" for uid in set(known) - set(sent)]
    return found


def _wrong(sent: Sent, analyses: Sequence[AnalysisEntry] | None, held: Sequence[HeldObject]) -> str:
    if not analyses:
        return "lost: the ledger has no analysis of it"
    *former, last = analyses
    if sent.kind in POISON:
        is_right = not former and last.state == "failed" and not held
        return "" if is_right else f"{last.state}, {len(held)} results of a study without pixels"
    return _wrong_in_ledger(sent, former, last) or _wrong_in_archive(sent, held)


def _wrong_in_ledger(sent: Sent, former: Sequence[AnalysisEntry], last: AnalysisEntry) -> str:
    if sent.kind is not Kind.CORRECTED and former:
        return f"doubled: {len(former) + 1} analyses"
    if last.state == "failed":
        return f"failed, and not by its own fault: {last.reason}"
    if (last.state, last.deliveries) != ("done", ["accepted"]):
        return f"not delivered: {last.state}, deliveries {last.deliveries}"
    if any(one.state != "superseded" for one in former):
        return f"doubled: former analyses {[one.state for one in former]}"
    if any(one.delivered_times > len(one.deliveries) for one in (*former, last)):
        return "doubled: delivered more than once"
    return ""


def _wrong_in_archive(sent: Sent, held: Sequence[HeldObject]) -> str:
    its = [one for one in held if one.patient_id == sent.patient_id]
    others = [one for one in held if one.patient_id != sent.patient_id]
    if not its:
        return "lost: the archive has no result of its patient"
    if len(its) > 1:
        return f"doubled: the archive has {len(its)} results"
    # What was sent before a correction stays: the new report names the one that it replaces.
    if len(others) > (1 if sent.kind is Kind.CORRECTED else 0):
        return f"the archive has {len(others)} results of another patient"
    return ""
