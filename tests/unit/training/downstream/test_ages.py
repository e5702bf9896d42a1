"""Ages of a table are read in every usual form, and what is none is named by its line."""

import numpy as np
import pytest

from training.data.table_mapping import read_mapping
from training.downstream.labelled_images import read_labelled
from training.errors import TableError

MAPPING = """
[columns]
image = "file"
patient = "patient_id"
age = "age"

[labels.mass]
column = "mass"
"""
AGES = {"57": 57, "57,5": 57.5, "57.5": 57.5, "063Y": 63, " 60 ": 60, "": np.nan}


@pytest.fixture(params=["own", "mapped"])
def read(request, tmp_path):
    """Return what reads a table of these ages, with a mapping or without one."""
    (tmp_path / "map.toml").write_text(MAPPING)
    mapping = read_mapping(str(tmp_path / "map.toml")) if request.param == "mapped" else None

    def of(ages, mapping=mapping):
        rows = ["file,patient_id,mass,age"]
        for number, age in enumerate(ages):
            (tmp_path / f"{number}.png").touch()
            rows.append(f'{number}.png,{number},1,"{age}"')
        (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
        return read_labelled(tmp_path / "own.csv", [tmp_path], mapping=mapping)

    return of


def test_ages_are_read_in_every_usual_form(read):
    np.testing.assert_array_equal(read(AGES).images["age"], list(AGES.values()))


@pytest.mark.parametrize("word", ["abc", "1.5.7", "nan", "-1", "018M"])
def test_what_is_no_age_is_named_by_its_line(read, word):
    with pytest.raises(TableError, match=rf"own.csv: 1 faults\n  line 3, age: '{word}' is no age"):
        read(["57", word])


def test_word_for_no_age_can_be_mapped(read, tmp_path):
    (tmp_path / "map.toml").write_text(f'{MAPPING}\n[values.age]\nunknown = ""\n"90+" = "90"\n')

    data = read(["unknown", "90+"], mapping=read_mapping(str(tmp_path / "map.toml")))

    np.testing.assert_array_equal(data.images["age"], [np.nan, 90])
