"""What check says of a disk that fills."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from licensed_bundle import write_bundle
from node_factory import (
    NOW,
    Reception,
    analysis_row,
    delivery_row,
    instance_row,
    result_row,
    second_node,
    study_row,
)
from typer.testing import CliRunner

from dicom_node.commands.checks.disk_forecast import Forecast, forecast
from dicom_node.commands.node import app
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.studies.ledger.queries.growth import Arrivals, Removable, arrivals
from dicom_node.studies.ledger.spools import FIRST
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.own_spool import own_spool

GB = 10**9


def fill(reception: Reception, now: datetime = NOW) -> None:
    """Enter a study a day for ten days, each of two images of 1 GB, half of them delivered."""
    with reception.database.writing() as session:
        for day in range(10):
            at = now - timedelta(days=day, hours=1)
            study = study_row(session, f"1.2.3.{day}", last_received_at=at, first_received_at=at)
            for _ in range(2):
                instance_row(session, study, size_bytes=GB, received_at=at)
            analysis = analysis_row(session, study, state=AnalysisState.DONE, finished_at=at)
            result_row(session, analysis, place=f"results/{analysis.id}/0/0.dcm")
            file = reception.spool.root / f"results/{analysis.id}/0/0.dcm"
            file.parent.mkdir(parents=True)
            with file.open("wb") as stream:
                stream.truncate(GB // 2)
            state = DeliveryState.ACCEPTED if day % 2 else DeliveryState.DUE
            delivery_row(session, analysis, state=state, finished_at=at)


def settings_of(reception: Reception, **retention: float) -> Settings:
    return Settings(
        spool=reception.spool.root,
        receive=ReceiveSettings(minimum_free_bytes=1),
        retention=RetentionSettings(**retention),
    )


def test_growth_is_that_of_the_last_seven_days(reception: Reception) -> None:
    fill(reception)

    with reception.database.reading() as session:
        found = forecast(settings_of(reception, days=4), session, at=NOW)

    assert (found.studies, found.days) == (7, 7.0)
    assert found.bytes_per_study == 2.5 * GB
    assert found.daily_bytes == 2.5 * GB
    assert found.kept_bytes == 20 * GB
    # Of the delivered ones of days 1, 3, 5, 7 and 9, those of four days ago and before.
    assert found.due == Removable(studies=3, size_bytes=6 * GB)
    assert found.at_need == Removable(studies=5, size_bytes=10 * GB)


@pytest.mark.parametrize("is_of_the_other", [False, True])
def test_growth_of_an_added_node_is_that_since_its_first_day(
    reception: Reception, tmp_path: Path, is_of_the_other: bool
) -> None:
    fill(reception)
    added = second_node(reception, tmp_path / "added")
    own = own_spool(added.spool, added.database)
    at = NOW - timedelta(days=2)
    with reception.database.writing() as session:
        times = {"last_received_at": at, "first_received_at": at}
        study = study_row(session, "1.2.4", spool_id=FIRST if is_of_the_other else own, **times)
        instance_row(session, study, size_bytes=GB, received_at=at, spool_id=own)

    with reception.database.reading() as session:
        assert arrivals(session, own, at=NOW) == Arrivals(days=2.0, studies=1, size_bytes=GB)
        assert arrivals(session, FIRST, at=NOW).days == 7.0


FORECAST = Forecast(
    free_bytes=102 * GB,
    reserve_bytes=2 * GB,
    studies=280,
    days=7.0,
    bytes_per_study=0.25 * GB,
    daily_bytes=10 * GB,
    kept_bytes=50 * GB,
    retention_days=None,
    makes_room=False,
    due=Removable(studies=3, size_bytes=GB),
    at_need=Removable(studies=9, size_bytes=3 * GB),
)


def test_forecast_says_in_words_when_the_reserve_is_reached() -> None:
    growth, removed = FORECAST.in_words()

    assert growth == (
        "disk: 102 GB free; 250 MB a study (280 studies in 7 days), 10 GB a day: without removing "
        "anything, 2 GB (receive.minimum_free_bytes) are reached in 10 days"
    )
    assert removed == (
        "disk: no retention is set; it could remove 3 GB of 9 delivered studies now: see "
        "[retention]"
    )


@pytest.mark.parametrize(
    ("days", "words"), [(15.0, "150 GB, which fits"), (16.0, "160 GB, which does NOT fit")]
)
def test_forecast_says_whether_the_days_fit_the_disk(days: float, words: str) -> None:
    _, removed = replace(FORECAST, retention_days=days, makes_room=True).in_words()

    assert words in removed
    assert "retention.days frees 1 GB now (3 studies)" in removed
    assert "when room is needed, retention frees up to 3 GB of 9 delivered studies" in removed


def test_full_disk_and_empty_ledger_have_words_too() -> None:
    assert "are reached now" in replace(FORECAST, free_bytes=GB).in_words()[0]
    assert "no forecast" in replace(FORECAST, studies=0).in_words()[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_check_notes_the_forecast_and_fails_for_nothing_of_it(
    reception: Reception, tmp_path: Path
) -> None:
    fill(reception, datetime.now(UTC))
    write_bundle(tmp_path / "bundle")
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(
        f'spool = "spool"\n[ledger]\nurl = "{url}"\n[broker]\nurl = "redis://127.0.0.1:1/0"'
    )

    result = CliRunner().invoke(app, ["check", "--config", str(file)])

    notes = [line for line in result.stdout.splitlines() if line.startswith("note  disk")]
    assert len(notes) == 2
    assert not [line for line in result.stdout.splitlines() if line.startswith("FAIL  disk")]
