"""Each destination is sent what its profile names, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from dicom_node.destination_profiles import (
    is_sent_uncompressed,
    products_wanted_by,
    profile_named,
    profiles_in_use,
)
from dicom_node.errors import SettingsError
from dicom_node.facts.result_kinds import COMPREHENSIVE_SR, ResultKind
from dicom_node.objects.cad_sr.options import CompositionForm, PlainMark, SpacingUnit
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.products import OHIF, PACS, PROFILES
from dicom_node.objects.sc.pixel_encoding import Compression
from dicom_node.routing.route import Recipient
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.results import (
    BUILT_IN_PROFILES,
    PROFILES_WITH_REPORT,
    ProfileSettings,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    ResultObject,
    Study,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ARCHIVE = """
[[destinations]]
name = "{name}"
ae_title = "ARCHIVE"
host = "127.0.0.1"
profile = "{profile}"
"""
OWN = """
[profiles.old]
objects = ["cad_report", "summary_sheet"]
report = "comprehensive"
coding = "SRT"
spacing_unit = "mm"
composition = "coded"
plain_mark = "selected_region"
picture_style = "grey"
"""


def settings_of(tmp_path: Path, *texts: str) -> Settings:
    file = tmp_path / "mammoclip.toml"
    file.write_text("\n".join(texts))
    return load_settings(file)


def test_settings_know_the_built_in_profiles() -> None:
    assert tuple(PROFILES) == BUILT_IN_PROFILES


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("coding", CodingScheme),
        ("spacing_unit", SpacingUnit),
        ("composition", CompositionForm),
        ("plain_mark", PlainMark),
        ("picture_style", PictureStyle),
        ("picture_compression", Compression),
    ],
)
def test_settings_offer_what_the_builders_can(field: str, values: type) -> None:
    offered = get_args(ProfileSettings.model_fields[field].annotation)

    assert set(offered) == {str(value) for value in values}


def test_destination_without_a_profile_is_sent_what_ohif_shows(tmp_path: Path) -> None:
    text = ARCHIVE.format(name="archive", profile="x").replace('profile = "x"', "")

    assert profiles_in_use(settings_of(tmp_path, text)) == (OHIF,)


def test_profile_of_two_destinations_counts_once(tmp_path: Path) -> None:
    texts = [
        ARCHIVE.format(name=name, profile=profile)
        for name, profile in (("a", "pacs"), ("b", "ohif"), ("c", "pacs"))
    ]

    assert profiles_in_use(settings_of(tmp_path, *texts)) == (PACS, OHIF)


def test_node_without_destinations_makes_the_default_objects(tmp_path: Path) -> None:
    assert profiles_in_use(settings_of(tmp_path)) == (OHIF,)


def test_own_profile_sets_objects_and_forms(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, OWN, ARCHIVE.format(name="a", profile="old"))

    (profile,) = profiles_in_use(settings)

    assert profile.objects == {ResultKind.CAD_REPORT, ResultKind.SUMMARY_SHEET}
    assert profile.report_sop_class_uid == COMPREHENSIVE_SR
    assert profile.cad.variant == "SRT mm coded selected_region"
    assert profile.form.style is PictureStyle.GREY


@pytest.mark.parametrize(
    ("profile", "compression", "uncompressed"),
    [
        ("ohif", None, False),
        ("pacs", None, False),
        ("all", None, False),
        ("workstation", None, True),
        ("old", None, False),
        ("old", "rle", False),
        ("old", "jpeg", False),
        ("old", "none", True),
    ],
)
def test_profile_says_who_is_sent_pictures_uncompressed(
    tmp_path: Path, profile: str, compression: str | None, *, uncompressed: bool
) -> None:
    own = OWN if compression is None else f'{OWN}picture_compression = "{compression}"\n'
    settings = settings_of(tmp_path, own, ARCHIVE.format(name="a", profile=profile))

    assert is_sent_uncompressed(Recipient("a"), settings) is uncompressed


def test_profile_of_a_rule_says_it_too(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ARCHIVE.format(name="a", profile="ohif"))

    assert is_sent_uncompressed(Recipient("a", "workstation"), settings)
    assert not is_sent_uncompressed(Recipient("b"), settings)


def test_pictures_are_made_once_for_who_wants_them_uncompressed_or_not(tmp_path: Path) -> None:
    texts = [ARCHIVE.format(name=one, profile=one) for one in ("pacs", "workstation")]
    settings = settings_of(tmp_path, *texts)

    both = products_wanted_by("pacs", settings) & products_wanted_by("workstation", settings)

    assert {kind for kind, _ in both} == {"secondary_capture", "summary_sheet"}


def test_unknown_profile_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown profile nothing; choose one of all, ohif"):
        settings_of(tmp_path, ARCHIVE.format(name="a", profile="nothing"))


def test_built_in_name_cannot_be_given_away(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="built-in"):
        settings_of(tmp_path, OWN.replace("profiles.old", "profiles.ohif"))


def test_unknown_profile_of_a_command_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown profile nothing"):
        profile_named("nothing")


def _ledger(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    database.migrate()
    common = {"version": 0, "attempts": 0, "due_at": NOW, "created_at": NOW}
    with database.writing() as session:
        session.add(
            Study(
                id=1,
                study_instance_uid="1.2",
                state=StudyState.SETTLED,
                patient_digest="",
                first_received_at=NOW,
                last_received_at=NOW,
            )
        )
        session.flush()
        for revision in (1, 2):
            session.add(
                Analysis(
                    id=revision,
                    study_id=1,
                    revision=revision,
                    state=AnalysisState.DONE,
                    **common,
                )
            )
            session.flush()
            for number, (kind, variant) in enumerate(
                [("segmentation", ""), ("cad_report", "SCT"), ("cad_report", "SRT")]
            ):
                session.add(
                    ResultObject(
                        analysis_id=revision,
                        kind=kind,
                        variant=variant,
                        sop_class_uid="1.3",
                        sop_instance_uid=f"1.{revision}.{number}",
                        series_instance_uid="1.4",
                        place="results/x",
                    )
                )
        session.add(
            Delivery(id=1, analysis_id=2, destination="a", state=DeliveryState.SENDING, **common)
        )
    return database


def test_delivery_sends_only_what_its_profile_names(tmp_path: Path) -> None:
    database = _ledger(tmp_path)

    with database.reading() as session:
        delivery = session.get_one(Delivery, 1)
        wanted = {("cad_report", "SRT"), ("summary_sheet", "color")}
        rows = outcomes.undelivered(session, delivery, wanted)
        uids = [row.sop_instance_uid for row in rows]
    database.close()

    assert uids == ["1.2.2"]


def test_delivered_object_is_not_sent_again(tmp_path: Path) -> None:
    database = _ledger(tmp_path)
    with database.writing() as session:
        sent = outcomes.undelivered(session, session.get_one(Delivery, 1), {("cad_report", "SRT")})
        session.add(
            DeliveryOutcome(
                delivery_id=1,
                result_object_id=sent[0].id,
                outcome=outcomes.ACCEPTED,
                status="0x0000",
                at=NOW,
            )
        )

    with database.reading() as session:
        delivery = session.get_one(Delivery, 1)
        left = outcomes.undelivered(session, delivery, {("cad_report", "SRT")})
    database.close()

    assert left == []


def test_messages_are_made_of_the_built_in_profiles_with_a_report() -> None:
    with_report = {
        name for name, one in PROFILES.items() if ResultKind.MEASUREMENT_REPORT in one.objects
    }

    assert set(PROFILES_WITH_REPORT) == with_report


def test_message_needs_a_profile_with_a_report(tmp_path: Path) -> None:
    ris = 'kind = "hl7"\nhost = "ris"\nprofile = "workstation"'

    with pytest.raises(SettingsError, match="profile workstation of ris has no measurement report"):
        settings_of(tmp_path, f'[[destinations]]\nname = "ris"\n{ris}\n')


def test_messages_want_the_report_of_their_profile_alone(tmp_path: Path) -> None:
    ris = 'kind = "hl7"\nhost = "ris"\nprofile = "pacs"'
    settings = settings_of(tmp_path, f'[[destinations]]\nname = "ris"\n{ris}\n')

    ((kind, _),) = products_wanted_by("ris", settings)

    assert kind == "measurement_report"
