"""Routes studies by the rules of a site: the node, its commands and the test of rules alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_node.errors import SetAsideError
from dicom_node.facts.priority import Priority
from dicom_node.receive.header_process import HeaderReader
from dicom_node.routing.attributes import AttributeValue
from dicom_node.routing.route import Route
from dicom_node.routing.rules import Rules, Step
from dicom_node.routing.study_facts import RoutedImage, StudyFacts
from mammoclip_core.images.header.image_kind import ImageFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyToRoute:
    """A study as its receiver knows it.

    Attributes
    ----------
    sender : AE title that sent its first object
    images : those to analyse, with their files
    is_complete : whether the four standard views are among them
    called : AE title under which the node was called; None for what the files tell
    """

    sender: str
    images: Sequence[tuple[ImageFacts, Path]]
    is_complete: bool
    priority: Priority
    called: str | None = None


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
                images.append(self._routed(facts, file, study.called))
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

    def _routed(self, facts: ImageFacts, file: Path, called: str | None) -> RoutedImage:
        read_called = ""
        attributes: dict[str, AttributeValue] = {}
        if self._rules.reads_headers:
            read_called, attributes = self._headers.attributes(
                file, self._rules.attributes, maximum_bytes=self._maximum_bytes
            )
        return RoutedImage(
            sop_instance_uid=facts.sop_instance_uid,
            laterality=facts.laterality,
            view_position=facts.view_position,
            called_ae_title=read_called if called is None else called,
            attributes=attributes,
        )
