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
