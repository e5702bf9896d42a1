"""Every text is as its value representation allows, whatever it is made of."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from every_kind import EVERY_KIND, box_of, boxed
from former_factory import former_of
from objects_factory import (
    BUNDLE,
    NEGATIVE,
    STUDY_UID,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    source_of,
)
from pydicom.dataset import Dataset
from validators import dciodvfy_errors

from dicom_node.facts.result_kinds import COMPREHENSIVE_SR, ResultKind
from dicom_node.objects.analysed_study import ResultObject
from dicom_node.objects.cad_sr.options import CadOptions
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.results import build_results
from mammoclip_core.findings import (
    BreastFindings,
    BundleIdentity,
    EngineIdentity,
    ImageStatus,
    StudyAnalysis,
    StudyFindings,
)

LONGEST = {
    "AE": 16,
    "AS": 4,
    "CS": 16,
    "DA": 8,
    "DS": 16,
    "DT": 26,
    "IS": 12,
    "LO": 64,
    "LT": 10240,
    "PN": 64 * 3 + 2,
    "SH": 16,
    "ST": 1024,
    "TM": 14,
    "UI": 64,
}
"""Characters of one value (PS3.5 6.2)."""

LONG = {
    "one word": "x" * 400,
    "umlauts": "Größenänderung " * 30,
    "no ASCII at all": "乳腺" * 200,
    "control characters": "\x00a\x1b[7m name\x7f\x9b\x85" * 40,
    "lines": "one line\nand another\\with a backslash\t" * 12,
}
EXAMINATION = "malignancy"


def every_object(text: str) -> tuple[ResultObject, ...]:
    """Return two revisions of a study whose every name, remark and warning is this text."""
    bundle = BundleIdentity(
        name=text, version=text, sha256="ab" * 32, licence=text, permitted_use=text
    )
    good, bad, odd = mammogram("CC"), mammogram("MLO"), mammogram("MLO", "R")
    code = f"99{text}|{text}|{text}".replace("\\", "")
    named = finding(marker_mask(60, 150), name=text, code=code)
    boxes = boxed(box_of(20.0, 220.0, 70.0, 260.0, 0.92), box_of(110.0, 180.0, 150.0, 230.0, 0.06))
    placeless = finding(name=EXAMINATION, code=code)
    of_breast = BreastFindings(
        laterality="L", findings=(replace(placeless, aggregation=text),), density="C"
    )
    findings = StudyFindings(
        study_instance_uid=STUDY_UID,
        bundle=bundle,
        settings_sha256="cd" * 32,
        engine=EngineIdentity(name=text, version=text, precision=text),
        images=(
            replace(
                image_of(good, named, boxes, placeless, reason=text * 40),
                view_modifiers=(text, "implant displaced"),
            ),
            image_of(bad, status=ImageStatus.FAILED, reason=text * 40),
            image_of(odd, NEGATIVE, reason=text),
        ),
        breasts=(of_breast,),
        study=(replace(placeless, aggregation=text),),
    )

    def built(identity: ResultIdentity, **arguments: Any) -> tuple[ResultObject, ...]:
        return build_results(
            [source_of(one) for one in (good, bad, odd)],
            StudyAnalysis(findings=findings, heatmaps=(heatmap_of(good, 70.0, 170.0, text),)),
            identity,
            profiles=(
                EVERY_KIND,
                replace(
                    EVERY_KIND,
                    report_sop_class_uid=COMPREHENSIVE_SR,
                    cad=CadOptions(coding=CodingScheme.SRT),
                ),
            ),
            **arguments,
        )

    made_by = identity(
        bundle=bundle,
        warning=text * 4,
        software_version=text,
        device_serial_number="9" * 64,
    )
    first = built(made_by)
    return (
        *first,
        *built(replace(made_by, revision=2, warning=f"{text} again"), former=former_of(first)),
    )


def faults_in(dataset: Dataset, where: str = "") -> Iterator[str]:
    for element in dataset:
        place = f"{where}{element.keyword}"
        if element.VR == "SQ":
            for item in element.value:
                yield from faults_in(item, f"{place} > ")
        elif element.VR in LONGEST and element.value not in (None, ""):
            values = element.value if element.VM > 1 else [element.value]
            for value in values:
                if len(str(value)) > LONGEST[element.VR]:
                    yield f"{place} ({element.VR}): {len(str(value))} characters"
        if element.VR in {*LONGEST, "UC", "UT"} and not str(element.value).isprintable():
            yield f"{place} ({element.VR}): control characters"


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_no_text_is_other_than_its_attribute_may_be(text: str) -> None:
    results = every_object(text)

    assert {one.kind for one in results} == set(ResultKind)
    complaints = {f"{one.kind}: {line}" for one in results for line in faults_in(one.dataset)}
    assert complaints == set()


def test_long_warning_is_cut_where_it_must_be_and_whole_in_the_report() -> None:
    warning = "Weights that learned nothing. " * 40
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150)))
    results = build_results(
        [source_of(dataset)],
        StudyAnalysis(
            findings=StudyFindings(
                study_instance_uid=STUDY_UID,
                bundle=BUNDLE,
                settings_sha256="cd" * 32,
                images=(image,),
            )
        ),
        identity(warning=warning),
        profiles=(EVERY_KIND,),
    )

    for one in results:
        stated = one.dataset.ContributingEquipmentSequence[0].ContributionDescription
        assert len(stated) <= 1024
        assert stated.startswith("RESEARCH USE ONLY")
        # What tells the weights is never what is cut off.
        assert stated.endswith(f"SHA-256 {BUNDLE.sha256}")
        assert "Weights that learned nothing." in stated


@pytest.mark.parametrize("text", ["", " ", "乳腺", "\x07"])
def test_bundle_without_a_name_that_can_be_written_has_a_stand_in(
    text: str, tmp_path: Path
) -> None:
    bundle = replace(BUNDLE, name=text, version=text, licence=text, permitted_use=text)
    dataset = mammogram("CC")

    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
        identity=identity(bundle=bundle),
        profiles=(EVERY_KIND,),
    )

    for number, result in enumerate(results):
        file = tmp_path / f"{number}.dcm"
        result.dataset.save_as(file, enforce_file_format=True)
        assert dciodvfy_errors(file) == []
        assert result.dataset.ContributingEquipmentSequence[1].ManufacturerModelName


@pytest.mark.parametrize("warning", ["警告：未训练的权重", "Внимание: веса не обучены, версия 2"])
def test_warning_in_other_letters_is_told_of_in_every_object(warning: str) -> None:
    dataset = mammogram("CC")

    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
        identity=identity(warning=warning),
        profiles=(EVERY_KIND,),
    )

    for result in results:
        software = result.dataset.ContributingEquipmentSequence[0]
        assert "The model has a warning" in software.ContributionDescription
