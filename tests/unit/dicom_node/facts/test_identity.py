import pytest
from node_factory import PATIENT_WORDS, mammogram

from dicom_node.facts.identity import KEYWORDS, patient_digest


def words(**attributes: object) -> dict[str, str]:
    digest = patient_digest(mammogram(**attributes))
    return dict(word.split("=") for word in digest.split())


def test_digest_names_nobody() -> None:
    digest = patient_digest(mammogram())

    assert not [word for word in PATIENT_WORDS if word in digest]


def test_digest_has_a_word_for_each_attribute_with_a_value() -> None:
    assert set(words(IssuerOfPatientID="HOSPITAL")) == set(KEYWORDS)


def test_digest_is_silent_about_empty_attributes() -> None:
    assert "PatientID" not in words(PatientID="")


def test_empty_components_of_a_name_make_no_difference() -> None:
    assert (
        words(PatientName="Doe^Jane^^")["PatientName"]
        == words(PatientName="Doe^Jane")["PatientName"]
    )


def test_digests_of_two_studies_cannot_be_compared() -> None:
    one, other = words(), words(StudyInstanceUID="1.2.3")

    assert not set(one.values()) & set(other.values())


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_digest_tells_values_apart(keyword: str) -> None:
    values = ("M", "F") if keyword == "PatientSex" else ("19500101", "19500102")

    first, second = (words(**{keyword: value})[keyword] for value in values)

    assert first != second


def test_digest_fits_the_ledgers_column() -> None:
    digest = patient_digest(mammogram(IssuerOfPatientID="HOSPITAL", PatientID="9" * 64))

    assert len(digest) <= 255
