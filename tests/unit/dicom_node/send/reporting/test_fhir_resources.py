"""FHIR resources by the HL7 guide on structured reports, read by the models of another project."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fhir_reading import (
    ReadBundle,
    code_of,
    regions_of_bundle,
    scores_of_bundle,
    values_in,
)
from pydantic import ValidationError
from pydicom.dataset import Dataset
from told_results import (
    answers_of_report,
    each_study,
    regions_of_report,
    scores_of_report,
)

from dicom_node.errors import ObjectRefusedError
from dicom_node.send.reporting.fhir_bundle import fhir_transaction
from dicom_node.send.reporting.report import Algorithm, Report
from dicom_node.send.reporting.report_reading import report_of
from dicom_node.settings.ways_out.reporting import FhirDestination

Reports = Callable[[str], Dataset]


def server(**changes: Any) -> FhirDestination:
    values = {"kind": "fhir", "name": "fhir", "url": "http://127.0.0.1/r5", **changes}
    return FhirDestination.model_validate(values)


def bundle_of(report: Report, **changes: Any) -> ReadBundle:
    return ReadBundle(fhir_transaction(report, server(**changes)).content)


@each_study
def test_resources_have_the_regions_of_the_report(report_dataset: Reports, case: str) -> None:
    dataset = report_dataset(case)

    bundle = bundle_of(report_of(dataset))

    assert regions_of_bundle(bundle) == regions_of_report(dataset)


@each_study
def test_resources_have_the_scores_of_the_report(report_dataset: Reports, case: str) -> None:
    dataset = report_dataset(case)

    bundle = bundle_of(report_of(dataset))

    assert scores_of_bundle(bundle) == scores_of_report(dataset)


@each_study
def test_resources_have_every_answer_of_the_report(report_dataset: Reports, case: str) -> None:
    dataset = report_dataset(case)

    told = values_in(json.loads(fhir_transaction(report_of(dataset), server()).content))

    assert [one for one in answers_of_report(dataset) if one not in told] == []


def test_everything_is_preliminary(report_dataset: Reports) -> None:
    bundle = bundle_of(report_of(report_dataset("many findings")))

    states = [one.status for kind in ("Observation", "DiagnosticReport") for one in bundle.of(kind)]
    assert set(states) == {"preliminary"}


def test_report_and_observations_say_research_use_and_unverified(report_dataset: Reports) -> None:
    bundle = bundle_of(report_of(report_dataset("one finding")))

    (report,) = bundle.of("DiagnosticReport")
    told = [report.conclusion, *(one.note[0].text for one in bundle.of("Observation"))]
    for text in told:
        assert text.startswith("RESEARCH USE ONLY - NOT FOR DIAGNOSIS.")
        assert text.endswith("not verified by anybody.")


def test_results_follow_the_profiles_of_the_guide(report_dataset: Reports) -> None:
    bundle = bundle_of(report_of(report_dataset("many findings")))

    profiles = Counter(
        str(profile).rsplit("/", 1)[1]
        for one in bundle.entries
        for profile in (one.resource.meta.profile if one.resource.meta else [])
    )
    assert profiles["imaging-measurement-group"] == 3
    assert profiles["image-region-2d"] == 3
    assert profiles["source-sr-content-item"] == 1
    assert profiles["dicom-general-equipment"] == 1
    assert {"imaging-measurement", "algorithm-identification", "dicom-sr-finding-site"} <= set(
        profiles
    )
    for one in bundle.of("Observation"):
        assert one.partOf[0].identifier.value.startswith("urn:oid:2.25.")
        assert one.issued is not None
        assert one.device is not None
        assert one.subject.identifier.value == "TEST-1"


def test_weights_are_a_device_below_the_software(report_dataset: Reports) -> None:
    bundle = bundle_of(report_of(report_dataset("one finding")))

    (group,) = [
        one
        for one in bundle.of("Observation")
        if one.category and code_of(one.category[0]) == "125007"
    ]
    weights = bundle.at(group.device)
    assert (weights.displayName, weights.version[0].value) == ("demonstration", "0.1.0")
    assert any("weights sha256" in one.valueString for one in weights.property)
    software = bundle.at(weights.parent)
    assert (software.manufacturer, software.displayName) == (
        "Mammo-CLIP DICOM project",
        "mammoclip-dicom",
    )


def test_operating_point_is_the_reference_range(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    (group,) = report.groups
    chosen = Algorithm(name="m", version="1", parameters=("threshold 0.4212",))

    bundle = bundle_of(replace(report, groups=(replace(group, algorithm=chosen),)))

    (score,) = [one for one in bundle.of("Observation") if one.valueQuantity is not None]
    assert (float(score.referenceRange[0].high.value), score.referenceRange[0].high.code) == (
        42.12,
        "%",
    )


def test_every_resource_is_created_unless_its_identifier_is_there(report_dataset: Reports) -> None:
    content = fhir_transaction(report_of(report_dataset("many findings")), server()).content
    entries = json.loads(content)["entry"]

    conditions = [(one["request"]["url"], one["request"]["ifNoneExist"]) for one in entries]
    assert {one["request"]["method"] for one in entries} == {"POST"}
    assert len(set(conditions)) == len(entries)
    assert len({one["fullUrl"] for one in entries}) == len(entries)


def test_same_report_gives_the_same_bytes(report_dataset: Reports) -> None:
    report = report_of(report_dataset("many findings"))

    assert fhir_transaction(report, server()) == fhir_transaction(report, server())


def test_order_is_named_by_its_accession_number(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))

    (found,) = bundle_of(report, accession_system="urn:x:accession").of("DiagnosticReport")

    identifier = found.basedOn[0].identifier
    assert (identifier.system, identifier.value) == ("urn:x:accession", "ACC-1")
    assert code_of(identifier.type) == "ACSN"


def test_patient_is_looked_up_by_the_server_if_set(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))

    bundle = bundle_of(report, patient_id_system="urn:x:patients", find_patient=True)

    (found,) = bundle.of("DiagnosticReport")
    assert found.subject.reference == "Patient?identifier=urn%3Ax%3Apatients|TEST-1"


def test_patient_id_does_not_change_a_search(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    hostile = replace(report, patient=replace(report.patient, patient_id="1|2,3&name=x"))

    bundle = bundle_of(hostile, patient_id_system="urn:x:p", find_patient=True)

    (found,) = bundle.of("DiagnosticReport")
    assert found.subject.reference == ("Patient?identifier=urn%3Ax%3Ap|1%5C%7C2%5C%2C3%26name%3Dx")


def test_patients_name_is_nowhere(report_dataset: Reports) -> None:
    content = fhir_transaction(
        report_of(report_dataset("Japanese name")), server()
    ).content.decode()

    assert not [one for one in ("Yamada", "Hanako", "山田", "19600101") if one in content]


def test_report_without_a_patient_id_is_refused(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    nobody = replace(report, patient=replace(report.patient, patient_id=""))

    with pytest.raises(ObjectRefusedError, match="no patient ID"):
        fhir_transaction(nobody, server())


def test_replaced_report_is_named(report_dataset: Reports) -> None:
    report = replace(report_of(report_dataset("one finding")), replaces=("1.2.3",))

    (found,) = bundle_of(report).of("DiagnosticReport")

    assert found.extension[0].valueReference.identifier.value == "urn:oid:1.2.3"


def test_looking_patients_up_needs_their_system() -> None:
    with pytest.raises(ValidationError, match="find_patient needs patient_id_system"):
        server(find_patient=True)
