"""Routes studies by the rules of a site: the node, its commands and the test of rules alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from dicom_node.errors import SetAsideError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.priority import Priority
from dicom_node.model_bundle import findings_of
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.routing.attributes import AttributeValue
from dicom_node.routing.route import Route
from dicom_node.routing.rules import Rules, Step
from dicom_node.routing.study_facts import RoutedImage, StudyFacts
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.settling import Decided, state_of
from dicom_node.studies.study_selection import image_facts_of, instances_of, selection_from
from mammoclip_core.images.header.image_kind import ImageFacts
from mammoclip_core.images.selection import Generated2D, has_standard_views

CANARY_RULE: Final = "canary"
"""The rule by which the canary study goes its way, whatever the rules of the site say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyToRoute:
    """A study as its receiver knows it.

    Attributes
    ----------
    sender : AE title that sent its first object
    images : those to analyse, with their files
    is_complete : whether the four standard views are among them
    assumed : what counts instead of what the files tell
    """

    sender: str
    images: Sequence[tuple[ImageFacts, Path]]
    is_complete: bool
    priority: Priority
    assumed: Mapping[str, AttributeValue] = field(default_factory=dict)


class StudyRouter:
    """Decides by the rules, and reads of headers what these ask for and nothing else.

    Parameters
    ----------
    maximum_bytes : largest size of a deflated data set
    """

    def __init__(
        self, rules: Rules, *, maximum_bytes: int, headers: HeaderReader | None = None
    ) -> None:
        self._rules = rules
        self._maximum_bytes = maximum_bytes
        self._headers = headers or HeaderReader()

    def route(self, study: StudyToRoute, *, at: datetime) -> tuple[Route, list[Step]]:
        """Decide on a study; one whose headers cannot be read is held.

        Raises
        ------
        OSError
            The system cannot start the process that reads headers.
        """
        images = []
        for facts, file in study.images:
            try:
                images.append(self._routed(facts, file, study.assumed))
            except SetAsideError as error:
                why = f"for its rules the header of {facts.sop_instance_uid} must be read: {error}"
                return Route(held=why), []
        known = StudyFacts(
            sender=study.sender,
            images=images,
            is_complete=study.is_complete,
            priority=study.priority,
            at=at,
        )
        return self._rules.route(known)

    def close(self) -> None:
        """End the process that reads headers."""
        self._headers.close()

    def _routed(
        self, facts: ImageFacts, file: Path, assumed: Mapping[str, AttributeValue]
    ) -> RoutedImage:
        attributes: dict[str, AttributeValue] = {}
        if self._rules.reads_headers:
            attributes = self._headers.attributes(
                file, self._rules.attributes, maximum_bytes=self._maximum_bytes
            )
        return RoutedImage(
            sop_instance_uid=facts.sop_instance_uid,
            laterality=facts.laterality,
            view_position=facts.view_position,
            attributes={**attributes, **assumed},
        )


class LedgerRouter:
    """Routes the studies of a ledger by the rules of the settings.

    Raises
    ------
    SettingsError
        The rules are wrong.
    """

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        # Bundles are looked at only where rules speak of what they answer.
        findings = findings_of(settings) if settings.result_rules else None
        has_rules = settings.rules or settings.result_rules
        self._router: StudyRouter | None = None
        if has_rules:
            # Imported here: a site without rules does not load their language.
            from dicom_node.routing.checking import rules_of

            self._router = StudyRouter(
                rules_of(settings, findings), maximum_bytes=settings.receive.maximum_object_bytes
            )

    def decided(self, session: Session, study_id: int, *, at: datetime) -> Decided | None:
        """Decide on a study as the ledger now has it; None if there are no rules for it.

        Raises
        ------
        OSError
            A file cannot be read, or the process that reads headers not be started.
        """
        if self._router is None:
            return None
        study = session.get_one(Study, study_id)
        instances = instances_of(session, study)
        if study.study_instance_uid == CANARY_STUDY:
            return Decided(route=Route(rule=CANARY_RULE), state_of=state_of(instances))
        route, _ = self._router.route(self._to_route(study, instances), at=at)
        return Decided(route=route, state_of=state_of(instances))

    def close(self) -> None:
        """End the process that reads headers."""
        if self._router is not None:
            self._router.close()

    def _to_route(self, study: Study, instances: list[Instance]) -> StudyToRoute:
        chosen = selection_from(instances, Generated2D(self._settings.model.generated_2d)).chosen
        registered = [row for row in instances if row.state is InstanceState.REGISTERED]
        return StudyToRoute(
            sender=study.calling_ae_title,
            images=[(image_facts_of(row), self._spool.file(row.place)) for row, _ in chosen],
            is_complete=has_standard_views(map(image_facts_of, registered)),
            priority=Priority(study.priority),
        )
