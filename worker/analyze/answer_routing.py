"""Where an answer goes: what the rule on its study said, and what the rules on results add."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from dicom_node.errors import SettingsError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.priority import Priority
from dicom_node.routing.route import Recipient, Route
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.study_selection import image_facts_of
from mammoclip_core.findings import Finding, ImageStatus, StudyFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS
from mammoclip_core.images.selection import has_standard_views
from worker.analyze.models import RouteFaultError
from worker.analyze.study_files import StudyFiles
from worker.runtime import Runtime

if TYPE_CHECKING:
    from dicom_node.routing.rules import Additions
    from dicom_node.routing.study_facts import AnswerFacts, RoutedImage

log = structlog.get_logger("worker.analyze")


def additions_of(
    node: Runtime,
    study: Study,
    route: Route,
    findings: StudyFindings,
    *,
    chosen: Sequence[Instance],
    instances: Iterable[Instance],
    files: StudyFiles,
) -> "Additions":
    """Return what the rules on results add to an answer; nothing to that of a canary study.

    Parameters
    ----------
    chosen : images that were to be analysed
    instances : everything received for the study
    """
    from dicom_node.routing.rules import Additions
    from dicom_node.routing.study_facts import StudyFacts

    if not node.rules.result_rules or study.study_instance_uid == CANARY_STUDY:
        return Additions()
    registered = [row for row in instances if row.state is InstanceState.REGISTERED]
    facts = StudyFacts(
        sender=study.calling_ae_title,
        images=[_routed(node, row, files) for row in chosen],
        is_complete=has_standard_views(map(image_facts_of, registered)),
        priority=Priority(study.priority),
        at=datetime.now(UTC),
    )
    added = node.rules.additions(facts, answer_facts(route, findings))
    for trouble in added.troubles:
        log.error("result_rule_failed", detail=trouble)
    return added


def require_known_profiles(node: Runtime, route: Route) -> None:
    """Raise RouteFaultError if a rule sends in a form that the settings do not have any more."""
    from dicom_node.destination_profiles import profile_named

    for one in route.recipients or ():
        if one.profile:
            try:
                profile_named(one.profile, node.settings)
            except SettingsError as error:
                raise RouteFaultError(f"rule {route.rule}: {error}") from error


def recipients_of(
    node: Runtime, study_instance_uid: str, route: Route, added: "Additions"
) -> tuple[Recipient, ...]:
    """Return to whom an answer is sent."""
    from dicom_node.routing.rules import all_recipients

    if study_instance_uid == CANARY_STUDY:
        return tuple(Recipient(one.name) for one in node.settings.canary_destinations)
    return all_recipients(route, added, node.settings.default_recipients)


def answer_facts(route: Route, findings: StudyFindings) -> "AnswerFacts":
    """Return what rules may ask of an answer."""
    from dicom_node.routing.study_facts import AnswerFacts

    by_image = [finding for image in findings.images for finding in image.findings]
    highest = _highest(by_image) | {finding.name: finding for finding in findings.study}
    analysed = findings.analysed
    views = {(image.laterality, image.view_position) for image in analysed}
    return AnswerFacts(
        rule=route.rule,
        bundle=findings.bundle.name,
        scores={name: finding.score for name, finding in highest.items()},
        flagged={
            finding.name for finding in (*by_image, *findings.study) if finding.above_threshold
        },
        analysed=len(analysed),
        is_incomplete=any(image.status is ImageStatus.FAILED for image in findings.images)
        or not views.issuperset(STANDARD_VIEWS),
    )


def _highest(findings: Iterable[Finding]) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.name not in found or finding.score > found[finding.name].score:
            found[finding.name] = finding
    return found


def _routed(node: Runtime, row: Instance, files: StudyFiles) -> "RoutedImage":
    from dicom_node.routing.attributes import values_of
    from dicom_node.routing.study_facts import RoutedImage

    header = files.header(node.spool.file(row.place))
    return RoutedImage(
        sop_instance_uid=row.sop_instance_uid,
        laterality=row.laterality,
        view_position=row.view_position,
        attributes=values_of(header, node.rules.attributes_of_results, meta=header.file_meta),
    )
