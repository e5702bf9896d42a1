"""What ``mammoclip-node test-rule`` does: routes studies on disk by the rules, step by step."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dicom_node.errors import NodeError
from dicom_node.facts.instance import Reading
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.facts.priority import Priority, priority_of_sender, priority_of_study
from dicom_node.facts.selection import SetAside, select_images
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.routing.attributes import ADDRESS, CALLED, AttributeValue
from dicom_node.routing.checking import rules_of
from dicom_node.routing.conditions import Value
from dicom_node.routing.route import Route
from dicom_node.routing.rules import Step
from dicom_node.settings.settings import Settings
from dicom_node.study_routing import StudyRouter, StudyToRoute
from mammoclip_core.counting import counted
from mammoclip_core.images.folder import may_be_file
from mammoclip_core.images.folder_walk import is_link
from mammoclip_core.images.selection import Generated2D, has_standard_views

_LONGEST_VALUE = 60
_NO_KEY = b"\0" * 32
"""Patients are compared with nobody here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """How files are taken to have arrived; None for what they tell themselves."""

    sender: str | None = None
    called: str | None = None
    address: str | None = None

    @property
    def assumed(self) -> dict[str, AttributeValue]:
        """Return what counts instead of what the files tell."""
        told = {CALLED: self.called, ADDRESS: self.address}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the rules decide on one study.

    Attributes
    ----------
    route : None if nothing of the study is analysed, whatever the rules say
    problem : why not
    """

    study_instance_uid: str
    sender: str
    images: int
    route: Route | None
    steps: Sequence[Step]
    problem: str = ""

    def as_document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "study_instance_uid": self.study_instance_uid,
            "sender": self.sender,
            "images": self.images,
            "problem": self.problem,
            "rule": None if self.route is None else self.route.rule,
            "decision": "" if self.route is None else self.route.in_words(),
            "route": None if self.route is None else asdict(self.route),
            "steps": [
                {
                    "rule": step.rule,
                    "has_matched": step.has_matched,
                    "parts": [
                        asdict(part) | {"values": {k: _plain(v) for k, v in part.values.items()}}
                        for part in step.parts
                    ],
                }
                for step in self.steps
            ],
        }

    def in_words(self) -> Iterator[str]:
        """Say it line by line."""
        number = f"{counted(self.images, 'image')} to analyse"
        yield f"study {self.study_instance_uid}: {number}, sent by {self.sender or 'nobody known'}"
        for step in self.steps:
            held = "cannot be evaluated" if step.trouble else "no"
            yield f"  rule {step.rule}: {'yes' if step.has_matched else held}"
            for part in step.parts:
                word = part.trouble if part.holds is None else str(part.holds).lower()
                values = ", ".join(f"{name} = {_shown(one)}" for name, one in part.values.items())
                yield f"    {word}: {part.condition}{f'   [{values}]' if values else ''}"
        yield f"  => {self.problem or (self.route.in_words() if self.route else '')}"


def try_rules(
    settings: Settings,
    findings: Collection[str] | None,
    paths: Iterable[Path],
    *,
    journey: Journey,
    at: datetime,
) -> tuple[list[Trial], list[tuple[Path, str]]]:
    """Route the studies in files and folders as the node would.

    Parameters
    ----------
    findings : names of what the bundles answer; None if they are not known

    Returns
    -------
    trials, passed_over
        One trial for each study; and files that are of none, each with the reason.

    Raises
    ------
    SettingsError
        The rules are wrong.
    NodeError
        A path is not there.
    """
    headers = HeaderReader()
    router = StudyRouter(
        rules_of(settings, findings),
        maximum_bytes=settings.receive.maximum_object_bytes,
        headers=headers,
    )
    try:
        found, passed_over = _studies_in(paths, settings, headers, journey)
        trials = [
            _trial(settings, router, uid, files, assumed=journey.assumed, at=at)
            for uid, files in found.items()
        ]
    finally:
        headers.close()
    return trials, passed_over


def arrival_of(text: str | None, zone: str | None) -> datetime:
    """Return when a study is taken to arrive: now, or date and time on the clocks of the site.

    Raises
    ------
    NodeError
        It is no date.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(f"--at {text}: give date and time as 2026-03-31T22:15") from error
    if given.tzinfo is not None:
        return given
    return given.astimezone() if zone is None else given.replace(tzinfo=ZoneInfo(zone))


_Found = tuple[Path, Reading]


def _studies_in(
    paths: Iterable[Path], settings: Settings, headers: HeaderReader, journey: Journey
) -> tuple[dict[str, list[_Found]], list[tuple[Path, str]]]:
    studies: defaultdict[str, list[_Found]] = defaultdict(list)
    passed_over: list[tuple[Path, str]] = []
    receive = settings.receive
    for file in _files_in(paths):
        reading = headers.read(
            file,
            identity_key=_NO_KEY,
            secondary_capture_senders=frozenset(receive.secondary_capture_senders),
            maximum_bytes=receive.maximum_object_bytes,
            takes_tomosynthesis=settings.model.tomosynthesis != "refuse",
            radiograph_senders=frozenset(receive.radiograph_senders),
        )
        if journey.sender is not None:
            reading = replace(reading, calling_ae_title=journey.sender)
        if reading.facts is None:
            passed_over.append((file, str(reading.problem)))
        else:
            studies[reading.facts.study_instance_uid].append((file, reading))
    return studies, passed_over


def _files_in(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            # Links are not followed: what a folder points to elsewhere is not a part of it.
            yield from sorted(
                one for one in path.rglob("*") if may_be_file(one) and not is_link(one)
            )
        elif path.exists():
            yield path
        else:
            raise NodeError(f"there is no file or folder {path}")


def _trial(
    settings: Settings,
    router: StudyRouter,
    uid: str,
    files: Sequence[_Found],
    *,
    assumed: Mapping[str, AttributeValue],
    at: datetime,
) -> Trial:
    read = [(file, reading.facts, reading) for file, reading in files if reading.facts is not None]
    kept = {facts.sop_instance_uid: (file, facts) for file, facts, one in read if not one.problem}
    selection = select_images(
        [facts for _, facts in kept.values()],
        [
            SetAside(image=facts, reason=one.problem.reason_word, detail=str(one.problem))
            for _, facts, one in read
            if one.problem
        ],
        Generated2D(settings.model.generated_2d),
    )
    sender = read[0][2].calling_ae_title
    chosen = [(facts, kept[facts.sop_instance_uid][0]) for facts, _ in selection.chosen]
    if not chosen:
        reasons = sorted({str(one.problem) for _, _, one in read if one.problem})
        reasons = reasons or sorted({image.reason for image in selection.left_out})
        return Trial(
            study_instance_uid=uid,
            sender=sender,
            images=0,
            route=None,
            steps=(),
            problem=f"nothing to analyse: {'; '.join(reasons)}",
        )
    route, steps = router.route(
        StudyToRoute(
            sender=sender,
            images=chosen,
            is_complete=has_standard_views(facts for _, facts in kept.values()),
            priority=_priority(settings, [(one.calling_ae_title, facts) for _, facts, one in read]),
            assumed=assumed,
        ),
        at=at,
    )
    return Trial(
        study_instance_uid=uid, sender=sender, images=len(chosen), route=route, steps=steps
    )


def _priority(settings: Settings, read: Iterable[tuple[str, InstanceFacts]]) -> Priority:
    stated = (
        priority_of_sender(
            sender,
            stat=settings.receive.stat_senders,
            off_peak=settings.receive.off_peak_senders,
            otherwise=facts.priority,
        )
        for sender, facts in read
    )
    return priority_of_study(stated)


def _plain(value: Value) -> Value | None:
    """Return a value for JSON, which has no number that compares with none."""
    return None if isinstance(value, float) and isnan(value) else value


def _shown(value: Value) -> str:
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, float):
        text = "nothing" if isnan(value) else f"{value:g}"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
