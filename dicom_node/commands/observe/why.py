"""What ``mammoclip-node why`` says: what happened to a study so far, and what to do next."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from dicom_node.commands.local_times import local_time
from dicom_node.studies.ledger.proof.proofs import NEVER_PROVEN, NOT_PROVEN_YET
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.queries.remarks import (
    correction_in_words,
    removal_in_words,
    set_aside_in_words,
)
from dicom_node.studies.ledger.states import (
    TAKEN,
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Study
from mammoclip_core.counting import counted

TROUBLESHOOTING: Final = "docs/troubleshooting.md"
SET_ASIDE: Final = "An object was set aside"
FAILED_IMAGE: Final = "An image failed"
NO_RESULTS: Final = "No results for a study"

_LONGEST_LIST: Final = 3
"""Senders, reasons and destinations that have a place of their own; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a condition of a study means.

    Attributes
    ----------
    is_so : the sentence's end after "study UID"
    to_do : what to do next
    entry : that of the troubleshooting page, as its table writes it
    cause : part of the reason by which this meaning is told from others of the same condition
    proof : how far the proof of delivery has come, by which it is told likewise; empty if no matter
    """

    is_so: str
    to_do: str
    entry: str
    cause: str = ""
    proof: str = ""


_LOOK_THERE: Final = "the results are in the archive's series RESEARCH USE ONLY"
_RESUME: Final = "end the pause: mammoclip-node resume, followed by what is paused"
_UNPROVEN: Final = '`delivered (accepted)`, "not proven yet" or "never proven"'
_HELD: Final = "is held: what is to be sent waits for a person"

MEANINGS: Final[Mapping[str, Sequence[Meaning]]] = {
    "receiving": (
        Meaning(
            is_so="is being received: further images may come",
            to_do="wait until nothing came for settling.idle_seconds",
            entry="`receiving`",
        ),
    ),
    "held": (
        Meaning(
            cause="is paused by",
            is_so=_HELD,
            to_do=_RESUME,
            entry='`held`, "is paused by"',
        ),
        Meaning(
            cause="is not in the settings",
            is_so=_HELD,
            to_do="enter the destination in the settings again, or use mammoclip-node "
            "move-deliveries or drop-deliveries",
            entry='`held`, "is not in the settings"',
        ),
        Meaning(
            cause="dry:",
            is_so="is held: its results were made and validated, and not sent",
            to_do="set dry = false, then mammoclip-node retry --destination NAME",
            entry='`held`, or `delivered` with the reason "dry"',
        ),
        Meaning(
            cause="the files of",
            is_so="is held: an image came after the files of others were removed",
            to_do="nothing if the delivered result suffices; else send the whole study again",
            entry='`held`, "the files of 2 of its images were removed"',
        ),
        Meaning(
            cause="to another patient",
            is_so="is held: its images do not name one patient",
            to_do="send the whole study again from the archive that corrected it",
            entry="`held`",
        ),
        Meaning(
            is_so=_HELD,
            to_do="have its deliveries sent: mammoclip-node retry UID",
            entry="`held`, with the name of a destination",
        ),
    ),
    "waiting": (
        Meaning(
            cause="is paused by",
            is_so="waits for its analysis, which is paused",
            to_do=_RESUME,
            entry='`waiting`, "is paused by"',
        ),
        Meaning(
            cause="off-peak",
            is_so="waits for its analysis until nothing else is due",
            to_do="wait, or have it begun: mammoclip-node priority UID routine",
            entry='`waiting`, "off-peak"',
        ),
        Meaning(
            is_so="waits for its analysis",
            to_do="nothing if others are analysed before it; else see whether a worker runs: "
            "mammoclip-node check",
            entry="`waiting`",
        ),
    ),
    "analysing": (
        Meaning(is_so="is being analysed by a worker", to_do="wait", entry="`analysing`"),
    ),
    "delivering": (
        Meaning(
            cause="waits until the destination answers",
            is_so="is analysed; a destination is down",
            to_do="repair the destination (mammoclip-node destinations says why it is down); "
            "delivery goes on by itself",
            entry='`delivering`, "waits until the destination answers"',
        ),
        Meaning(
            is_so="is analysed, and its results are being delivered",
            to_do="wait; if it lasts, repair what the reason names: delivery is tried again by "
            "itself",
            entry="`delivering`",
        ),
    ),
    "delivered": (
        Meaning(
            cause="is not in the settings",
            is_so="has results that an archive accepted and did not prove before it was taken out "
            "of the settings",
            to_do="enter it again, or hand the question on or waive it: mammoclip-node "
            "move-deliveries, mammoclip-node drop-deliveries",
            entry='`delivered`, "is not in the settings"',
        ),
        Meaning(
            cause="were not found there",
            is_so="has results that an archive accepted, and does not show when it is asked",
            to_do="wait: it is asked again, and what is missing is sent again; if its index is "
            "slow, raise confirm_within_seconds of the destination",
            entry='`delivered (accepted)`, "were not found there"',
        ),
        Meaning(
            cause=NEVER_PROVEN,
            is_so="has results that an archive accepted; it could not be asked whether it holds "
            "them, and is asked no more",
            to_do="look there for the series RESEARCH USE ONLY; mend what the reason names, then "
            "have it asked again: mammoclip-node retry UID",
            entry=_UNPROVEN,
        ),
        Meaning(
            cause=NOT_PROVEN_YET,
            is_so="has results that an archive accepted; it could not be asked yet whether it "
            "holds them",
            to_do="mend what the reason names; the archive is asked again by itself",
            entry=_UNPROVEN,
        ),
        Meaning(
            cause="dry:",
            is_so="is delivered, except to dry destinations",
            to_do="set dry = false, then mammoclip-node retry --destination NAME",
            entry='`held`, or `delivered` with the reason "dry"',
        ),
        Meaning(
            proof=DeliveryState.COMMITTED.value,
            is_so="is delivered, and the archive has committed itself to keep the results",
            to_do=f"nothing: {_LOOK_THERE}",
            entry="`delivered (committed)`",
        ),
        Meaning(
            proof=DeliveryState.CONFIRMED.value,
            is_so="is delivered, and the archive has shown the results when it was asked",
            to_do=f"nothing: {_LOOK_THERE}",
            entry="`delivered (confirmed)`",
        ),
        Meaning(
            is_so="is delivered: what it was sent to has accepted the results",
            to_do="nothing, or look in the archive for the series RESEARCH USE ONLY: that it holds "
            "what it accepted is not proven",
            entry="`delivered (accepted)`",
        ),
    ),
    "done": (
        Meaning(
            is_so="is analysed, and there is no destination to send its results to",
            to_do="add a block [[destinations]], then mammoclip-node retry UID",
            entry="`done`",
        ),
    ),
    "failed": (
        Meaning(
            is_so="could not be analysed, and is not tried again",
            to_do="mend what the reason names (the worker's log has more), then "
            "mammoclip-node retry UID",
            entry="`failed`",
        ),
    ),
    "cancelled": (
        Meaning(
            is_so="is not analysed, since somebody cancelled it",
            to_do="if it is wanted after all: mammoclip-node retry UID",
            entry="`cancelled`",
        ),
    ),
    "refused": (
        Meaning(
            cause="not-kept",
            is_so="is analysed; an archive answered with success and did not keep the results",
            to_do="find out at the archive where the objects went, then mammoclip-node retry UID",
            entry='`refused`, "not-kept"',
        ),
        Meaning(
            is_so="is analysed; a destination refused the results for good",
            to_do="correct the destination's list of SOP Classes or AE titles, then "
            "mammoclip-node retry UID",
            entry="`refused`",
        ),
    ),
    "expired": (
        Meaning(
            is_so="is analysed; its results were given up before a destination took them",
            to_do="repair the destination, then mammoclip-node retry UID",
            entry="`expired`",
        ),
    ),
    "superseded": (
        Meaning(
            is_so="has no result that counts: what was found before counts no more",
            to_do="have it analysed again: mammoclip-node retry UID",
            entry="`superseded`",
        ),
    ),
    "nothing-to-analyse": (
        Meaning(
            is_so="has no image that can be analysed",
            to_do="correct what the lines above name, or send the images that are missing",
            entry="`nothing-to-analyse`",
        ),
    ),
}
"""For each condition its meanings, the first of which applies by the reason and the proof."""


def why(
    session: Session, study_instance_uid: str, *, destinations: frozenset[str] | None = None
) -> list[str]:
    """Say in a dozen lines at most what happened to a study, and what to do next.

    Parameters
    ----------
    destinations : names of those in the settings; None if they are not known

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    """
    study = reading.find_study(session, study_instance_uid)
    record = reading.study_record(session, study, destinations=destinations)
    summary: reading.StudySummary = record["summary"]
    reason = _own_reason(session, study, summary.reason)
    meaning = meaning_of(summary.condition, reason, summary.proof)
    to_do = meaning.to_do.replace("retry UID", f"retry {study_instance_uid}")
    to_do = to_do.replace("priority UID", f"priority {study_instance_uid}")
    waiting = [f"reason: {reason}"] if reason else []
    return [
        f"study {study_instance_uid} {meaning.is_so}",
        _received(study, record["instances"], summary.images),
        *_not_analysed(session, study, record["instances"]),
        *_settled(study, record["history"]),
        *_analysed(record["analyses"]),
        *_delivered(record["analyses"], record["deliveries"], record["outcomes"]),
        *waiting,
        f"what to do: {to_do}. {_entry(NO_RESULTS, meaning.entry)}",
    ]


def meaning_of(condition: str, reason: str, proof: str = "") -> Meaning:
    """Return what a condition means, by what its reason names and how far its proof has come."""
    return next(
        one for one in MEANINGS[condition] if one.cause in reason and one.proof in {"", proof}
    )


def _own_reason(session: Session, study: Study, reason: str) -> str:
    """Return the reason of the condition alone, without what was done to single images."""
    remarks = (
        correction_in_words(session, study),
        set_aside_in_words(session, study),
        removal_in_words(session, study),
    )
    for remark in reversed(remarks):
        if remark:
            reason = reason.removesuffix(remark).removesuffix("; ")
    return reason


def _received(study: Study, instances: list[dict[str, Any]], images: int) -> str:
    senders = Counter(one["calling_ae_title"] for one in instances if one["calling_ae_title"])
    names = _first_of([name for name, _ in senders.most_common()])
    last = local_time(study.last_received_at)
    return (
        f"received: {counted(images, 'image')}"
        f"{f' from {names}' if names else ''}, the last object at {last}"
    )


def _not_analysed(session: Session, study: Study, instances: list[dict[str, Any]]) -> Iterator[str]:
    set_aside = set_aside_in_words(session, study)
    if set_aside:
        reasons = sorted(
            {one["reason"] for one in instances if one["state"] is InstanceState.SET_ASIDE}
        )
        entries = ", ".join(f"`{reason}`" for reason in reasons if reason)
        yield f"not analysed: {set_aside}. {_entry(SET_ASIDE, entries)}"
    left_out = Counter(
        one["left_out_reason"]
        for one in instances
        if one["left_out_reason"] and one["state"] is InstanceState.REGISTERED
    )
    if left_out:
        words = [f"{counted(count, 'image')}: {why}" for why, count in left_out.most_common()]
        yield f"left out on purpose: {_first_of(words, '; ')}"
    corrected = correction_in_words(session, study)
    if corrected:
        yield f"corrected: {corrected}"
    removed = removal_in_words(session, study)
    if removed:
        yield f"removed: {removed}"


def _settled(study: Study, history: list[dict[str, Any]]) -> Iterator[str]:
    if study.state is StudyState.OPEN:
        return
    at = [one["at"] for one in history if one["subject"] == "study" and one["event"] == "settle"]
    when = f" at {local_time(at[-1])}" if at else ""
    yield f"complete: settled{when}, {counted(study.revision, 'revision')} so far"


def _analysed(analyses: list[dict[str, Any]]) -> Iterator[str]:
    done = [one for one in analyses if one["state"] is AnalysisState.DONE]
    if not done:
        return
    newest = done[-1]
    when = newest["finished_at"]
    at = f" at {local_time(when)}" if when else ""
    unread = reading.unread_images(newest["findings"])
    also = f"; {unread}. {_entry(FAILED_IMAGE)}" if unread else ""
    yield f"analysed: revision {newest['revision']}{at} by {newest['bundle'] or 'a bundle'}{also}"


def _delivered(
    analyses: list[dict[str, Any]],
    deliveries: list[dict[str, Any]],
    outcomes: list[dict[str, Any]],
) -> Iterator[str]:
    """Say of the newest analysis where its results are; of a former one, while that counts."""
    done = [one["id"] for one in analyses if one["state"] is AnalysisState.DONE]
    mine = [one for one in deliveries if done and one["analysis_id"] == done[-1]]
    taken = {state.value for state in TAKEN}
    answers = Counter(one["delivery_id"] for one in outcomes if one["outcome"] in taken)
    words = []
    for one in mine:
        when = one["finished_at"]
        at = f" at {local_time(when)}" if when and one["state"] in taken else ""
        objects = answers[one["id"]]
        count = f" ({counted(objects, 'object')} taken)" if objects else ""
        words.append(f"{one['destination']} {one['state']}{at}{count}")
    if words:
        yield f"delivery: {_first_of(words, '; ')}"


def _entry(section: str, entries: str = "") -> str:
    return f'See {TROUBLESHOOTING}, "{section}"{f": {entries}" if entries else ""}'


def _first_of(words: list[str], between: str = ", ") -> str:
    more = len(words) - _LONGEST_LIST
    listed = between.join(words[:_LONGEST_LIST])
    return f"{listed}{between}and {more} more" if more > 0 else listed
