"""A UID names one content: whatever changes an object changes its UID, and nothing else does."""

import re
from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from every_kind import EVERY_KIND
from objects_factory import (
    BUNDLE,
    bytes_of,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    study_of,
)
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind, series_numbers_from
from dicom_node.objects.analysed_study import ResultOptions
from dicom_node.objects.cad_sr.options import (
    CadOptions,
    CompositionForm,
    PlainMark,
    SpacingUnit,
)
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme
from dicom_node.objects.drawing.overlay import PictureStyle
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.results import ResultObject, build_results
from dicom_node.objects.sc.pixel_encoding import Compression, PictureForm
from dicom_node.objects.sources import SourceInstance
from mammoclip_core.findings import EngineIdentity, StudyAnalysis

LATER = datetime(2026, 7, 2, 9, 0, 0, 500, tzinfo=UTC)
TIMES = (
    *("SeriesDate", "SeriesTime", "InstanceCreationDate", "InstanceCreationTime"),
    *("ContentDate", "ContentTime", "PresentationCreationDate", "PresentationCreationTime"),
)
NAMES = ("SOPInstanceUID", "SeriesInstanceUID")

MASS = finding(marker_mask(60, 150))
BASE: dict[str, Any] = {
    "header": {},
    "axis": 0,
    "findings": (MASS, finding(name="malignancy", code="", score=0.6)),
    "study": {},
    "heat": True,
    "identity": identity(),
    "profile": EVERY_KIND,
    "options": ResultOptions(picture_long_side=512),
}


def built(**changes: Any) -> tuple[ResultObject, ...]:
    """Build every kind of object of one study, with these changes to it."""
    values = {**BASE, **changes}
    dataset = mammogram(**values["header"])
    findings = replace(study_of(image_of(dataset, *values["findings"])), **values["study"])
    findings = replace(findings, study_instance_uid=str(dataset.StudyInstanceUID))
    pixels = np.indices((dataset.Rows, dataset.Columns), dtype=np.uint16)[values["axis"]] * 5
    heatmaps = (heatmap_of(dataset, 70.0, 170.0),) if values["heat"] else ()
    return build_results(
        [SourceInstance(dataset=dataset, pixels=pixels)],
        StudyAnalysis(findings=findings, heatmaps=heatmaps),
        values["identity"],
        profiles=(values["profile"],),
        options=values["options"],
    )


def form(**changes: Any) -> Any:
    return replace(EVERY_KIND, form=replace(PictureForm(), **changes))


def cad(**changes: Any) -> Any:
    return replace(EVERY_KIND, cad=replace(CadOptions(), **changes))


def told(**changes: Any) -> ResultIdentity:
    return replace(identity(), **changes)


EVERYTHING = frozenset(ResultKind) - {ResultKind.REJECTION_NOTE}
PICTURES = frozenset({ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET})
CHANGES: dict[str, tuple[frozenset[ResultKind], dict[str, Any]]] = {
    "patient's name": (EVERYTHING, {"header": {"name": "Test^Corrected"}}),
    "patient's id": (EVERYTHING, {"header": {"PatientID": "TEST-2"}}),
    "birth date": (EVERYTHING, {"header": {"PatientBirthDate": "19600102"}}),
    "accession number": (EVERYTHING, {"header": {"AccessionNumber": "ACC-2"}}),
    "study's description": (EVERYTHING, {"header": {"StudyDescription": "Screening"}}),
    "institution": (EVERYTHING, {"header": {"InstitutionName": "Elsewhere"}}),
    "patient's comments": (EVERYTHING, {"header": {"PatientComments": "."}}),
    "character set": (EVERYTHING, {"header": {"charset": "ISO_IR 100"}}),
    "time zone of the source": (EVERYTHING, {"header": {"TimezoneOffsetFromUTC": "+0300"}}),
    "study": (EVERYTHING, {"header": {"StudyInstanceUID": "1.2.840.1"}}),
    "time zone": (
        EVERYTHING,
        {"identity": told(time_zone=timezone(timedelta(hours=2)))},
    ),
    "summer time": (
        EVERYTHING,
        {
            "header": {"StudyDate": "20260702"},
            "identity": told(time_zone=ZoneInfo("Europe/London")),
        },
    ),
    "summer time of another zone": (
        EVERYTHING,
        {
            "header": {"StudyDate": "20260702"},
            "identity": told(time_zone=ZoneInfo("Europe/Berlin")),
        },
    ),
    "warning": (EVERYTHING, {"identity": told(warning="")}),
    "software": (EVERYTHING, {"identity": told(software_version="0.2.0")}),
    "weights": (EVERYTHING, {"identity": told(bundle=replace(BUNDLE, sha256="ef" * 32))}),
    "serial number": (EVERYTHING, {"identity": told(device_serial_number="S-2")}),
    "licence": (EVERYTHING, {"identity": told(bundle=replace(BUNDLE, licence="MIT"))}),
    "series numbers": (EVERYTHING, {"identity": told(series_numbers=series_numbers_from(100))}),
    "revision": (EVERYTHING, {"identity": told(revision=2)}),
    "heatmaps": (PICTURES | {ResultKind.PDF_REPORT}, {"heat": False}),
    "pixels": (PICTURES | {ResultKind.PDF_REPORT}, {"axis": 1}),
    "size of pictures": (PICTURES, {"options": ResultOptions(picture_long_side=256)}),
    "modality of pictures": (PICTURES, {"options": ResultOptions(picture_modality="MG")}),
    "style of pictures": (PICTURES, {"profile": form(style=PictureStyle.GREY)}),
    "lossy pictures": (PICTURES, {"profile": form(compression=Compression.JPEG)}),
    "report's class": (
        frozenset({ResultKind.MEASUREMENT_REPORT}),
        {"profile": replace(EVERY_KIND, report_sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33")},
    ),
    "codes": (frozenset({ResultKind.CAD_REPORT}), {"profile": cad(coding=CodingScheme.SRT)}),
    "unit": (
        frozenset({ResultKind.CAD_REPORT}),
        {"profile": cad(spacing_unit=SpacingUnit.MILLIMETER)},
    ),
    "composition": (
        frozenset({ResultKind.CAD_REPORT}),
        {"profile": cad(composition=CompositionForm.CODED)},
    ),
    "plain mark": (
        frozenset({ResultKind.CAD_REPORT}),
        {"profile": cad(plain_mark=PlainMark.SELECTED_REGION)},
    ),
    "engine": (
        frozenset({ResultKind.MEASUREMENT_REPORT, ResultKind.PDF_REPORT}),
        {"study": {"engine": EngineIdentity(name="torch", version="2", precision="float32")}},
    ),
    "settings": (
        frozenset({ResultKind.MEASUREMENT_REPORT, ResultKind.PDF_REPORT}),
        {"study": {"settings_sha256": "ef" * 32}},
    ),
    "score": (
        EVERYTHING
        - {ResultKind.SEGMENTATION, ResultKind.ATTENTION_SEGMENTATION, ResultKind.KEY_IMAGES},
        {"findings": (finding(marker_mask(60, 150), score=0.84), BASE["findings"][1])},
    ),
    "region": (
        EVERYTHING - {ResultKind.ATTENTION_SEGMENTATION, ResultKind.KEY_IMAGES},
        {"findings": (finding(marker_mask(61, 150)), BASE["findings"][1])},
    ),
    "spacing": (
        PICTURES | {ResultKind.CAD_REPORT, ResultKind.SEGMENTATION, ResultKind.PDF_REPORT},
        {"header": {"ImagerPixelSpacing": [0.2, 0.1]}},
    ),
}


def content_of(dataset: Dataset) -> bytes:
    """Return what an object says, without its own names and the times of its creation."""
    copied = Dataset()
    copied.update({e.tag: e for e in dataset if e.keyword not in (*NAMES, *TIMES)})
    copied.file_meta = Dataset()
    copied.file_meta.update(dataset.file_meta)
    copied.file_meta.MediaStorageSOPInstanceUID = copied.SOPInstanceUID = "1.2.3"
    copied.ContributingEquipmentSequence = deepcopy(dataset.ContributingEquipmentSequence)
    for item in copied.ContributingEquipmentSequence:
        item.ContributionDateTime = f"1900{item.ContributionDateTime[21:]}"
    return bytes_of(copied)


def by_uid(results: tuple[ResultObject, ...]) -> dict[str, tuple[str, bytes]]:
    """Return series and content by SOP Instance UID."""
    return {
        str(one.dataset.SOPInstanceUID): (
            str(one.dataset.SeriesInstanceUID),
            content_of(one.dataset),
        )
        for one in results
    }


@cache
def changed_by(change: str) -> tuple[ResultObject, ...]:
    return built(**(CHANGES[change][1] if change else {}))


FREE = {"created_at": "times of creation alone", "bundle": "as weights, licence and warning"}


def test_every_option_is_changed_here_in_turn() -> None:
    base = (BASE["identity"], BASE["options"], PictureForm(), CadOptions())
    changed: set[str] = set(FREE)
    for _, change in CHANGES.values():
        profile = change.get("profile", EVERY_KIND)
        made = (change.get("identity", base[0]), change.get("options", base[1]))
        for before, after in zip(base, (*made, profile.form, profile.cad), strict=True):
            names = (one.name for one in fields(before))
            changed |= {name for name in names if getattr(before, name) != getattr(after, name)}

    assert changed >= {one.name for part in base for one in fields(part)}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_an_object_changes_its_uid(change: str) -> None:
    before = {str(one.dataset.SOPInstanceUID) for one in changed_by("")}

    again = changed_by(change)

    renamed = {one.kind for one in again if str(one.dataset.SOPInstanceUID) not in before}
    assert renamed >= CHANGES[change][0]


def test_equal_uids_name_equal_contents_in_equal_series_whatever_was_changed() -> None:
    seen: dict[str, tuple[str, bytes]] = {}

    for change in ("", *CHANGES):
        for uid, said in by_uid(changed_by(change)).items():
            assert seen.setdefault(uid, said) == said, change


def test_time_of_creation_changes_times_and_nothing_else() -> None:
    first, second = built(), built(identity=told(created_at=LATER))

    assert by_uid(first) == by_uid(second)
    assert {one.dataset.SeriesDate for one in first} == {"20260102"}
    assert {one.dataset.SeriesDate for one in second} == {"20260702"}
    assert {one.dataset.SeriesTime for one in second} == {"090000.000500"}


def test_summer_and_winter_of_one_zone_are_the_same_objects() -> None:
    zone = ZoneInfo("Europe/Berlin")
    january = told(created_at=datetime(2026, 1, 2, 12, 30, tzinfo=zone))
    july = told(created_at=datetime(2026, 7, 2, 12, 30, tzinfo=zone))

    uids = [set(by_uid(built(identity=one))) for one in (january, july)]

    assert uids[0] == uids[1]


def test_no_object_tells_a_time_that_was_not_the_time_of_its_creation() -> None:
    for one in built(identity=told(created_at=LATER)):
        assert b"19990909" not in bytes_of(one.dataset)


def test_two_builds_are_byte_identical() -> None:
    assert [bytes_of(r.dataset) for r in built()] == [bytes_of(r.dataset) for r in built()]


def test_score_below_a_tenth_of_a_percent_changes_nothing() -> None:
    nearly = (finding(marker_mask(60, 150), score=0.8301), BASE["findings"][1])

    assert set(by_uid(built(findings=nearly))) == set(by_uid(built()))


def test_order_of_sources_does_not_matter() -> None:
    datasets = [mammogram("CC"), mammogram("MLO")]
    findings = study_of(*(image_of(dataset, MASS) for dataset in datasets))

    def uids_of(order: list[Dataset]) -> set[str]:
        pixels = np.zeros((400, 300), dtype=np.uint16)
        return set(
            by_uid(
                build_results(
                    [SourceInstance(dataset=dataset, pixels=pixels) for dataset in order],
                    StudyAnalysis(findings=findings),
                    identity(),
                    profiles=(EVERY_KIND,),
                )
            )
        )

    assert uids_of(datasets) == uids_of(datasets[::-1])


def test_header_that_no_object_repeats_changes_nothing() -> None:
    again = built(header={"OperatorsName": "Somebody", "Manufacturer": "Other"})

    assert set(by_uid(again)) == set(by_uid(built()))


def test_uids_are_valid_uuid_derived_ones() -> None:
    for one in built():
        for uid in (one.dataset.SOPInstanceUID, one.dataset.SeriesInstanceUID):
            assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]{0,38})", uid)


def test_file_meta_information_names_the_same_instance() -> None:
    for one in built():
        assert one.dataset.file_meta.MediaStorageSOPInstanceUID == one.dataset.SOPInstanceUID
