"""docs/architecture.md is true."""

import re

import floor_plan
import pytest


@pytest.mark.parametrize("name", floor_plan.GENERATED)
def test_generated_part_is_up_to_date(name: str) -> None:
    assert floor_plan.written(name) == floor_plan.GENERATED[name](), (
        "run: python tests/floor_plan.py"
    )


def test_every_room_has_a_sign() -> None:
    unsigned = [line for line in floor_plan.rooms().splitlines() if re.search(r"\|\s+\|$", line)]

    assert unsigned == []


def test_every_promise_names_a_test_that_exists() -> None:
    text = floor_plan.DOCUMENT.read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)

    missing = [
        name
        for file, name in named
        if f"def {name}(" not in (floor_plan.ROOT / file).read_text(encoding="utf-8")
    ]

    assert named
    assert missing == []
