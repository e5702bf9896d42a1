import pytest
from pydicom.sr._concepts_dict import concepts

from mammoclip_core.lexicon import DEFAULT_FINDINGS, DENSITY
from mammoclip_core.manifest import FindingEntry


@pytest.mark.parametrize("entry", DEFAULT_FINDINGS, ids=lambda entry: entry.name)
def test_code_is_one_of_the_standard(entry: FindingEntry) -> None:
    scheme, value, meaning = entry.code.split("|")

    known = {
        (code, text) for words in concepts[scheme].values() for code, (text, _) in words.items()
    }

    assert (value, meaning) in known


@pytest.mark.parametrize("entry", DEFAULT_FINDINGS, ids=lambda entry: entry.name)
def test_code_meaning_fits_its_value_representation(entry: FindingEntry) -> None:
    assert len(entry.code.split("|")[2]) <= 64


def test_published_pairs_put_the_negative_prompt_first() -> None:
    pairs = [entry.prompts for entry in DEFAULT_FINDINGS if not entry.is_class_set]

    assert pairs == [
        ("no mass", "mass"),
        ("no suspicious calcification", "suspicious calcification"),
        ("no malignancy", "malignancy"),
    ]


def test_density_prompts_are_marked_as_our_own() -> None:
    assert DENSITY.own_prompts
