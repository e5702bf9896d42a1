"""A mapping file is read from TOML or YAML, and its faults are said in one line."""

import pytest

from training.data.table_mapping import read_mapping
from training.errors import SettingsError

OWN = """
[columns]
image = "Datei"
patient = "Pat"
laterality = "Seite"
split = "Teil"

[values.laterality]
links = "L"
rechts = "R"

[labels.asymmetry]
column = "Asymmetrie"

[labels.risk]
column = "Risiko"
classes = ["low", "middle", "high"]

[labels.malignancy]
column = "Krebs"
"""


def test_yaml_says_what_toml_says(tmp_path):
    (tmp_path / "map.toml").write_text(OWN)
    (tmp_path / "map.yaml").write_text(
        "columns: {image: Datei, patient: Pat, laterality: Seite, split: Teil}\n"
        "values: {laterality: {links: L, rechts: R}}\n"
        "labels:\n"
        "  asymmetry: {column: Asymmetrie}\n"
        "  risk: {column: Risiko, classes: [low, middle, high]}\n"
        "  malignancy: {column: Krebs}\n"
    )
    by_toml, by_yaml = (read_mapping(str(tmp_path / f"map.{one}")) for one in ("toml", "yaml"))

    assert by_toml.labels == by_yaml.labels
    assert (by_toml.columns, by_toml.values) == (by_yaml.columns, by_yaml.values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[columns]", "[colums]"), "'colums'; known are"),
        (('image = "Datei"\n', ""), "names no image"),
        (("[labels.risk]", "[labels.age]"), "the name is taken"),
        (('column = "Krebs"', 'column = "Krebs"\nclasses = ["one"]'), "classes are two or more"),
        (('patient = "Pat"', 'patient = "Pat'), "cannot be read"),
        (("[labels.asymmetry]", "[labels.density]"), "its classes are called A, B, C and D; call"),
        (("[labels.risk]", "[labels.density]"), "its classes are called A, B, C and D; call"),
        (("[labels.risk]", "[labels.mass]"), "it is a yes or no, by positive and negative; call"),
    ],
)
def test_fault_in_a_mapping_is_said_in_one_line(tmp_path, change, words):
    path = tmp_path / "map.toml"
    path.write_text(OWN.replace(*change))

    with pytest.raises(SettingsError, match=words) as caught:
        read_mapping(str(path))

    assert "\n" not in str(caught.value)


def test_mapping_that_is_not_there_names_those_that_are():
    with pytest.raises(SettingsError, match=r"cbis-ddsm, cmmd, embed, .*, rsna, vindr"):
        read_mapping("ddsm")


TERMS = OWN.replace("[labels.asymmetry]", "[labels.mass]") + "\n[terms.mass]\n"


def terms_of(folder, lines):
    (folder / "map.toml").write_text(TERMS + lines)
    return read_mapping(str(folder / "map.toml")).terms["mass"]


def test_term_is_a_column_or_a_column_with_words(tmp_path):
    lines = 'shape = "Form"\nmargin = {column = "Rand", words = {S = "spiculated", G = ""}}\n'
    terms = terms_of(tmp_path, lines)

    assert (terms["shape"].column, dict(terms["shape"].words)) == ("Form", {})
    assert (terms["margin"].column, terms["margin"].words["s"]) == ("Rand", "spiculated")


@pytest.mark.parametrize(
    ("cell", "words", "others"),
    [
        ("S", ["spiculated"], []),
        ("s - U", ["spiculated", "obscured"], []),
        ("-", ["circumscribed"], []),
        ("Micro_Lobulated", [], ["Micro_Lobulated"]),
        ("MICROLOBULATED; G, x-S", ["microlobulated", "spiculated"], ["x"]),
        ("obscured,obscured", ["obscured"], []),
        (" ", [], []),
    ],
)
def test_words_of_a_term_are_translated(tmp_path, cell, words, others):
    given = '{S = "spiculated", U = "obscured", "-" = "circumscribed", G = ""}'
    term = terms_of(tmp_path, f'margin = {{column = "Rand", words = {given}}}\n')["margin"]

    assert term.said(cell) == (words, others)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('colour = "Farbe"', r"\[terms.mass\] has 'colour'; known are density, margin, place"),
        ("shape = 3", r"\[terms.mass\] shape: give a column, or a table of column and words"),
        ('shape = {words = {O = "oval"}}', r"\[terms.mass\] shape names no column"),
        ('shape = {column = "F", word = {}}', r"\[terms.mass\] shape has 'word'"),
        (
            'shape = {column = "F", words = {O = "ovl"}}',
            r"\[terms.mass\] shape: 'ovl' is none of oval, round, irregular, nor empty",
        ),
        ("[terms.asymmetry]", r"\[terms.asymmetry\]: there is no \[labels.asymmetry\]"),
    ],
)
def test_fault_in_the_terms_of_a_mapping_is_named(tmp_path, lines, words):
    with pytest.raises(SettingsError, match=words):
        terms_of(tmp_path, lines + "\n")


def test_list_may_be_parted_by_another_sign(tmp_path):
    risk = 'column = "Krebs"\nlist = "-"\npositive = ["b"]\notherwise = "unknown"'
    (tmp_path / "map.toml").write_text(OWN.replace('column = "Krebs"', risk))
    label = read_mapping(str(tmp_path / "map.toml")).labels["malignancy"]

    assert [label.value(cell) for cell in ("a-B", "b", "a", "")] == [1, 1, -1, -1]
