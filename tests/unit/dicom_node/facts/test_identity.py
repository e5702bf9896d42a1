import hashlib
from datetime import date, timedelta

import pytest
from node_factory import PATIENT_WORDS, STUDY_UID, mammogram

from dicom_node.facts.identity import KEYWORDS, PatientDigest, is_one_patient

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def stored(key: bytes = KEY, **attributes: object) -> str:
    """Return what a ledger holds after one image."""
    return PatientDigest.of(mammogram(**attributes), key).stored()


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

    assert same.belongs_to([stored_without_key(PatientID="A", PatientName="Other")])
    assert not other.belongs_to([stored_without_key(PatientID="A", PatientName="Other")])


def test_digests_of_two_keys_contradict_nothing() -> None:
    assert PatientDigest.of(mammogram(), KEY).belongs_to([stored(OTHER_KEY, PatientID="X")])


def test_digest_names_nobody() -> None:
    digest = stored()

    assert not [word for word in PATIENT_WORDS if word in digest]


def test_digest_has_a_word_for_each_attribute_with_a_value() -> None:
    assert set(words(IssuerOfPatientID="HOSPITAL", PatientName="A^B^C")) == {
        *("PatientID", "IssuerOfPatientID", "PatientBirthDate"),
        *("Name", "Middle"),
    }


def test_digest_is_silent_about_empty_attributes() -> None:
    assert "PatientID" not in words(PatientID="")


def test_empty_components_of_a_name_make_no_difference() -> None:
    assert words(PatientName="Doe^Jane^^")["Name"] == words(PatientName="Doe^Jane")["Name"]


def test_digests_of_two_studies_cannot_be_compared() -> None:
    one, other = words(), words(StudyInstanceUID="1.2.3")

    assert not set(one.values()) & set(other.values())


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_digest_tells_values_apart(keyword: str) -> None:
    word = "Name" if keyword == "PatientName" else keyword
    first, second = (words(**{keyword: value})[word] for value in ("19500101", "19500102"))

    assert first != second


def test_digest_fits_the_ledgers_column() -> None:
    name = "Yamada^Tarou^Akira^^Jr=\u5c71\u7530^\u592a\u90ce^\u82b1\u5b50"
    digest = stored(IssuerOfPatientID="HOSPITAL", PatientID="9" * 64, PatientName=name)

    assert len(digest) <= 255


UNKNOWN = {"PatientID": "", "PatientName": "", "PatientBirthDate": ""}
BY_NAME = {"PatientID": "", "PatientName": "Lindqvist^Maja", "PatientBirthDate": "19610407"}
OTHER_ID = {**BY_NAME, "PatientID": "OTHER-1"}


def belongs(image: dict[str, str], *study: dict[str, str]) -> bool:
    return PatientDigest.of(mammogram(**image), KEY).belongs_to(stored(**one) for one in study)


@pytest.mark.parametrize(
    "name",
    [
        "LINDQVIST^MAJA",
        "lindqvist^maja",
        "Lindqvist ^Maja",
        " Lindqvist^ Maja",
        "Lindqvist^Maja^Q",
        "Lindqvist^Maja^Quirina",
        "Lindqvist^Maja Q",
        "Lindqvist^Maja^^Dr",
        "L\u00edndqv\u00efst^M\u00e4ja",
        "Lind-Qvist^Maja",
        "Lindqvist^Maja=\u5c71\u7530^\u592a\u90ce",
    ],
)
def test_name_is_compared_without_regard_to_how_it_is_spelt(name: str) -> None:
    assert belongs({**BY_NAME, "PatientName": name}, BY_NAME)
    assert belongs({**OTHER_ID, "PatientName": name}, {**BY_NAME, "PatientID": "THIS-1"})


@pytest.mark.parametrize("name", ["Lindqvist^Mia", "Lindquist^Maja", "Maja^Lindqvist", "Lindqvist"])
def test_another_name_is_another_patient_unless_the_id_agrees(name: str) -> None:
    assert not belongs({**BY_NAME, "PatientName": name}, BY_NAME)
    assert belongs({**OTHER_ID, "PatientName": name}, OTHER_ID)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("S\u00f8rensen^Eva", "Sorensen^Eva"),
        ("\u0141uczak^Eva", "LUCZAK^EVA"),
        ("\u0110uri\u0107^Eva", "Duric^Eva"),
        ("K\u00e6r^Eva", "Kaer^Eva"),
        ("Strau\u00df^Eva", "STRAUSS^EVA"),
        ("I\u015e\u0131k^Eva", "i\u015fIK^EVA"),
        ("O'Brien^Eva", "O\u00b4Brien^Eva"),
        ("Doe, Jane", "Doe^Jane"),
        ("DOE,JANE M", "Doe^Jane^Mary"),
        (
            "\u0418\u0412\u0410\u041d\u041e\u0412\u0410^\u0410",
            "\u0418\u0432\u0430\u043d\u043e\u0432\u0430^\u0430",
        ),
        (
            "\u0643\u0631\u064a\u0645^\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f",
            "\u0643\u0631\u064a\u0645^\u0645\u062d\u0645\u062f",
        ),
        ("\uff7d\uff7d\uff9e\uff77^\u30b1\u30a4", "\u30b9\u30ba\u30ad^\u30b1\u30a4"),
        ("\u1100\u1175\u11b7^\uc9c0", "\uae40^\uc9c0"),
    ],
)
def test_one_name_is_written_in_several_ways(one: str, other: str) -> None:
    mine, theirs = ({**BY_NAME, "PatientName": name} for name in (one, other))

    assert belongs(mine, theirs)
    assert belongs(theirs, mine)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "\u0936\u0930\u094d\u092e\u093e^\u0930\u093e\u092e",
            "\u0936\u0930\u094d\u092e\u093e^\u0930\u092e\u093e",
        ),
        (
            "\u0e2a\u0e21\u0e0a\u0e32\u0e22^\u0e14\u0e35",
            "\u0e2a\u0e21\u0e0a\u0e32\u0e22^\u0e14\u0e39",
        ),
        ("\u3059\u3059\u304d^\u3051\u3044", "\u3059\u305a\u304d^\u3051\u3044"),
        ("\uff7d\uff7d\uff77^\u30b1\u30a4", "\uff7d\uff7d\uff9e\uff77^\u30b1\u30a4"),
        ("Doe^John^^^Jr", "Doe^John^^^Sr."),
        ("Kim^Min Ji", "Kim^Min Jung"),
        ("Doe^Anna Maria", "Doe^Anna^Magdalena"),
    ],
    ids=["Hindi", "Thai", "Hiragana", "half-width Katakana", "suffix", "given names", "middle"],
)
def test_letters_suffixes_and_names_in_full_tell_patients_apart(one: str, other: str) -> None:
    mine, theirs = ({**BY_NAME, "PatientName": name} for name in (one, other))

    assert not belongs(mine, theirs)
    assert not belongs({**mine, "PatientID": "1"}, {**theirs, "PatientID": "2"})
    assert belongs({**mine, "PatientID": "1"}, {**theirs, "PatientID": "1"})


@pytest.mark.parametrize(
    "name",
    [
        "Doe^John^M^^",
        "Doe^John^^^Jr.",
        "Doe^John M.^^Dr^JR",
        "Doe^John Mar\u00eda Q",
        "Doe^John M\u00aa",
    ],
)
def test_suffix_or_second_name_that_one_leaves_out_or_shortens_contradicts_nothing(
    name: str,
) -> None:
    whole = {**BY_NAME, "PatientName": "Doe^John^Maria^^Jr"}

    assert belongs({**BY_NAME, "PatientName": name}, whole)
    assert belongs(whole, {**BY_NAME, "PatientName": name})


def test_initial_that_an_earlier_release_has_stored_is_compared() -> None:
    initial = stored(PatientName="Lindqvist^Maja^A")
    assert "." not in initial  # as every middle name was stored

    def fits(name: str) -> bool:
        return PatientDigest.of(mammogram(PatientID="2", PatientName=name), KEY).belongs_to(
            [initial]
        )

    assert fits("Lindqvist^Maja^Anna")
    assert not fits("Lindqvist^Maja^Berta")


def test_two_middle_names_are_two_patients() -> None:
    one, other = ({**BY_NAME, "PatientName": f"Lindqvist^Maja^{m}"} for m in ("Anna", "Berta"))

    assert not belongs(one, other)
    assert belongs(one, {**BY_NAME, "PatientName": "Lindqvist^Maja^A"})


def test_ideographs_alone_are_compared_with_those_beside_a_name_in_latin_letters() -> None:
    both = {**BY_NAME, "PatientName": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"}
    alone = {**BY_NAME, "PatientName": "=\u5c71\u7530^\u592a\u90ce"}

    assert belongs(alone, both)


@pytest.mark.parametrize("other", [UNKNOWN, {**UNKNOWN, "PatientID": "X"}])
def test_absent_value_contradicts_nothing(other: dict[str, str]) -> None:
    assert belongs(UNKNOWN, other)
    assert belongs(other, UNKNOWN)


def test_another_birth_date_is_another_patient_unless_the_id_agrees() -> None:
    born_later = {"PatientBirthDate": "19610408"}

    assert not belongs({**BY_NAME, **born_later}, BY_NAME)
    assert belongs({**OTHER_ID, **born_later}, OTHER_ID)


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_birth_date_of_older_equipment_is_the_same_date() -> None:
    assert belongs({**BY_NAME, "PatientBirthDate": "1961.04.07"}, BY_NAME)


def test_another_id_is_another_patient_unless_name_and_birth_date_agree() -> None:
    this = {**BY_NAME, "PatientID": "THIS-1"}

    assert belongs(OTHER_ID, this)
    assert not belongs({**OTHER_ID, "PatientName": "Berg^Ida"}, this)
    assert not belongs({**OTHER_ID, "PatientBirthDate": ""}, this)


def test_equal_ids_of_two_issuers_are_two_ids() -> None:
    here, there = ({**UNKNOWN, "PatientID": "7", "IssuerOfPatientID": at} for at in ("A", "B"))

    assert not belongs(here, there)
    assert belongs(here, {**UNKNOWN, "PatientID": "7"})
    assert belongs({**here, **BY_NAME, "PatientID": "7"}, {**there, **BY_NAME, "PatientID": "7"})


def test_image_without_an_id_does_not_join_two_patients() -> None:
    others = ({"PatientID": "1", "PatientName": "A^B"}, {"PatientID": "2", "PatientName": "C^D"})
    one, other, unknown = (stored(**image) for image in (*others, UNKNOWN))

    assert not is_one_patient([one, unknown, other])
    assert not is_one_patient([unknown, one, other, one, other])
    assert is_one_patient([one, unknown, one])
    assert is_one_patient([])
