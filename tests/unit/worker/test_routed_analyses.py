"""A worker does with a study what its rule says: bundle, recipients, shadow."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from bundles import bundle
from sqlalchemy import select
from unit.dicom_node.node_factory import STUDY_UID, Reception
from worker_factory import StandInEngine, run_analysis, shown_mammogram, stand_in_manifest

from dicom_node.facts.priority import Priority
from dicom_node.routing.route import Recipient, Route
from dicom_node.settings.rules import BundleSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.queries.reading import summaries
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject, Study
from dicom_node.studies.settling import begin_analysis
from worker.analyze.models import FurtherModels, Model, RouteFaultError
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime

__all__ = ["bundle"]

ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "host": "10.0.0.2", "profile": "ohif"}
WORKSTATION = {"name": "workstation", "ae_title": "WS", "host": "10.0.0.3", "profile": "ohif"}
SECOND = stand_in_manifest(name="second", version="2", weights_sha256="ef" * 32)


class SecondEngine(StandInEngine):
    """Answers as the other one does, by another bundle."""

    def analyze(self, request: Any) -> Any:
        from dataclasses import replace

        answer = super().analyze(request)
        return replace(answer, findings=replace(answer.findings, bundle=SECOND.identity))


@pytest.fixture
def site(runtime_with: Callable[..., Runtime], tmp_path: Path) -> Runtime:
    return runtime_with(
        destinations=[ARCHIVE, WORKSTATION],
        bundles={"second": {"folder": tmp_path / "second"}},
        result_rules=[
            {
                "name": "flagged",
                "when": "score['mass'] >= 0.8 && incomplete && Manufacturer == 'Some scanner'",
                "destinations": ["workstation"],
                "priority": "stat",
            }
        ],
    )


@pytest.fixture
def received(site: Runtime) -> Reception:
    reception = Reception(Spool(site.settings.spool), site.database)
    reception.receive(shown_mammogram())
    return reception


def routed(received: Reception, route: Route) -> int:
    with received.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == STUDY_UID)).one()
        study.state = StudyState.SETTLED
        session.flush()
        return begin_analysis(session, study, because="test", at=datetime.now(UTC), route=route).id


def deliveries(received: Reception) -> set[tuple[str, str, int]]:
    return {(one.destination, one.profile, one.priority) for one in received.rows(Delivery)}


def test_results_go_where_the_rule_says_in_the_form_that_it_says(
    site: Runtime, received: Reception
) -> None:
    site.engine.score = 0.5
    route = Route(rule="a", recipients=(Recipient("archive", "pacs"),))

    run_analysis(site, routed(received, route))

    assert deliveries(received) == {("archive", "pacs", Priority.ROUTINE)}
    kinds = {row.kind for row in received.rows(ResultObject)}
    assert "summary_sheet" in kinds, "profile pacs has one, profile ohif has not"
    assert "segmentation" not in kinds


def test_rule_on_results_adds_a_destination_and_makes_it_urgent(
    site: Runtime, received: Reception
) -> None:
    analysis = run_analysis(
        site, routed(received, Route(rule="a", recipients=(Recipient("archive"),)))
    )

    assert deliveries(received) == {
        ("archive", "", Priority.STAT),
        ("workstation", "", Priority.STAT),
    }
    assert analysis.result_rules == "flagged"
    assert received.study().priority == Priority.STAT


def test_rule_without_destinations_sends_nothing_and_says_so(
    site: Runtime, received: Reception
) -> None:
    site.engine.score = 0.5

    run_analysis(site, routed(received, Route(rule="a", recipients=())))

    assert deliveries(received) == set()
    with received.database.reading() as session:
        (line,) = summaries(session, limit=9)
    assert (line.condition, line.reason) == ("done", "rule a names no destination")


def test_shadow_keeps_findings_and_makes_and_sends_nothing(
    site: Runtime, received: Reception
) -> None:
    analysis = run_analysis(site, routed(received, Route(rule="a", is_shadow=True)))

    assert analysis.state is AnalysisState.DONE
    assert analysis.findings
    assert deliveries(received) == set()
    assert received.rows(ResultObject) == []
    assert received.files("results") == []
    with received.database.reading() as session:
        (line,) = summaries(session, limit=9)
    assert line.reason == "in shadow by rule a: kept, and sent nowhere"


def test_results_name_the_bundle_that_the_rule_chose(site: Runtime, received: Reception) -> None:
    engine = SecondEngine()
    site.further_models._loaded["second"] = Model(SECOND, engine)
    first = run_analysis(site, routed(received, Route()))

    second = run_analysis(site, routed(received, Route(rule="b", bundle="second")))

    assert first.bundle.startswith("stand-in 1")
    assert second.bundle == f"second 2 {'ef' * 32}"
    assert [len(site.engine.requests), len(engine.requests)] == [1, 1]
    rows = received.rows(ResultObject)
    uids = {
        id_: {row.sop_instance_uid for row in rows if row.analysis_id == id_}
        for id_ in (first.id, second.id)
    }
    assert uids[first.id]
    assert uids[second.id]
    assert not uids[first.id] & uids[second.id]
    for row in rows:
        dataset = pydicom.dcmread(site.spool.file(row.place), stop_before_pixels=True)
        assert ("second" in str(dataset)) == (row.analysis_id == second.id), row.kind


def test_bundle_that_is_missing_lets_only_its_studies_wait(
    site: Runtime, received: Reception
) -> None:
    number = routed(received, Route(rule="b", bundle="second"))

    analysis = run_analysis(site, number)

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert "bundle second cannot be used" in analysis.reason
    assert analysis.due_at > datetime.now(UTC)
    assert not site.site.is_known, "no other study waits"
    with received.database.writing() as session:
        session.get_one(Analysis, number).state = AnalysisState.CANCELLED
    assert run_analysis(site, routed(received, Route())).state is AnalysisState.DONE


def test_bundle_that_is_not_in_the_settings_is_named(site: Runtime, received: Reception) -> None:
    analysis = run_analysis(site, routed(received, Route(rule="b", bundle="third")))

    assert "there is no bundle third in the settings" in analysis.reason


def test_profile_that_is_gone_lets_only_the_studies_of_its_rule_wait(
    site: Runtime, received: Reception
) -> None:
    route = Route(rule="b", recipients=(Recipient("archive", "gone"),))

    analysis = run_analysis(site, routed(received, route))

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert analysis.reason.startswith("rule b: unknown profile gone: choose one of")
    assert not site.site.is_known


def test_delivery_by_a_profile_that_is_gone_waits_with_the_reason(
    site: Runtime, received: Reception
) -> None:
    run_analysis(site, routed(received, Route(rule="a", recipients=(Recipient("archive"),))))
    (first, *_) = received.rows(Delivery)
    with received.database.writing() as session:
        session.get_one(Delivery, first.id).profile = "gone"

    attempt_delivery(site, first.id)

    (row, *_) = received.rows(Delivery)
    assert row.state is DeliveryState.DUE
    assert row.reason.startswith("unknown profile gone")


def test_each_bundle_is_loaded_once(site: Runtime, bundle: Path, log_lines: list[Any]) -> None:
    folder = site.settings.bundles["second"].folder
    shutil.copytree(bundle, folder)
    unaccepted = FurtherModels(site.settings, lambda: site.decoding.read_image)
    with pytest.raises(RouteFaultError, match=r"under \[bundles.second\]"):
        unaccepted.of("second")

    terms = BundleSettings(folder=folder, accept="Apache-2.0 demonstration use")
    settings = site.settings.model_copy(update={"bundles": {"second": terms}})
    models = FurtherModels(settings, lambda: site.decoding.read_image)

    assert models.of("second") is models.of("second")
    assert models.of("second").in_words.startswith(models.of("second").manifest.name)
    assert [line["event"] for line in log_lines].count("model_loaded") == 1


def test_missing_bundle_is_looked_for_once_a_minute_and_told_once(
    site: Runtime, log_lines: list[Any]
) -> None:
    now = [0.0]
    models = FurtherModels(site.settings, lambda: site.decoding.read_image, clock=lambda: now[0])

    for second in (0.0, 1.0, 59.0, 61.0):
        now[0] = second
        with pytest.raises(RouteFaultError, match="cannot be used"):
            models.of("second")

    assert [line["event"] for line in log_lines] == ["bundle_fault"]
    (site.settings.bundles["second"].folder).mkdir()
    with pytest.raises(RouteFaultError):
        models.of("second")
