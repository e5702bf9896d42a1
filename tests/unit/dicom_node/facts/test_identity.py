import hashlib
from datetime import date, timedelta

import pytest
from node_factory import PATIENT_WORDS, STUDY_UID, mammogram

from dicom_node.facts.identity import KEYWORDS, PatientDigest

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def stored(key: bytes = KEY, **attributes: object) -> str:
    """Return what a ledger holds after one image."""
    return PatientDigest.of(mammogram(**attributes), key).joined_to("")


def stored_without_key(**attributes: object) -> str:
    """Return what a ledger of an earlier release holds after one image."""
    unkeyed = PatientDigest.of(mammogram(**attributes), KEY).unkeyed
    return " ".join(f"{keyword}={digest}" for keyword, digest in unkeyed.items())


def words(**attributes: object) -> dict[str, str]:
    return dict(word.split("=") for word in stored(**attributes).split())


def test_birth_date_is_not_found_by_a_search_of_all_dates() -> None:
    digest = words()["PatientBirthDate"].rpartition(":")[2]

    days = (date(1940, 1, 1) + timedelta(days=day) for day in range(40 * 366))
    guesses = (f"{STUDY_UID}\nPatientBirthDate\n{day:%Y%m%d}".encode() for day in days)

    assert digest not in {hashlib.sha256(guess).hexdigest()[: len(digest)] for guess in guesses}


def test_digests_of_an_earlier_ledger_are_compared_by_their_own_rule() -> None:
    same, other = (PatientDigest.of(mammogram(PatientID=pid), KEY) for pid in ("A", "B"))

    assert not same.contradicts(stored_without_key(PatientID="A"))
    assert other.contradicts(stored_without_key(PatientID="A"))


def test_next_image_replaces_the_digests_of_an_earlier_ledger() -> None:
    joined = PatientDigest.of(mammogram(), KEY).joined_to(stored_without_key())

    assert joined == stored()


def test_digests_of_two_keys_contradict_nothing() -> None:
    assert not PatientDigest.of(mammogram(), KEY).contradicts(stored(OTHER_KEY, PatientID="X"))


def test_digest_names_nobody() -> None:
    digest = stored()

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
    digest = stored(IssuerOfPatientID="HOSPITAL", PatientID="9" * 64)

    assert len(digest) <= 255
