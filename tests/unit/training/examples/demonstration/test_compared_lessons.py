"""Models that are compared have in common what the files of `make_weights` hold."""

from pathlib import Path

import pytest

from training.examples.demonstration.compare_pretraining import Lesson
from training.examples.demonstration.plan import Plan
from training.phantoms.family import Family

FACTS = {
    "maps-look-0-102/maps.json": "maps",
    "maps-look-0-202/maps.json": "maps",
    "maps-303/maps.json": "maps",
    "images-303/truth.json": "lesions",
    "encoder.pt": "weights",
    "tokenizer/vocab.txt": "tokenizer",
}


@pytest.mark.parametrize(("changed", "fact"), list(FACTS.items()))
def test_each_file_belongs_to_what_must_not_change(tmp_path: Path, changed: str, fact: str) -> None:
    for name in FACTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    lesson = Lesson(
        plan=Plan(folder=tmp_path, family=Family.VARIED),
        studies=8,
        epochs=1,
        settings="",
        judged_by=303,
    )
    before = lesson.facts()
    (tmp_path / changed).write_text("other")

    after = lesson.facts()

    assert [name for name in after if after[name] != before[name]] == [fact]
