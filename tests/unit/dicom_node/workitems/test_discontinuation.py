"""Row P10: each reason of the node has a code with which a workitem is canceled."""

import ast
import re
from pathlib import Path

import dicom_node
from dicom_node.workitems.discontinuation import MEANINGS, OF_REASONS


def test_p10_every_reason_for_which_an_object_is_set_aside_has_a_code() -> None:
    words = {
        word
        for file in Path(dicom_node.__file__).parent.rglob("*.py")
        for word in re.findall(r'SetAsideError\(\s*"([a-z-]+)"', file.read_text())
    }

    assert len(words) > 10
    assert words - set(OF_REASONS) == set()
    assert set(OF_REASONS.values()) == set(MEANINGS)


def test_p10_every_reason_that_the_performer_gives_has_a_code() -> None:
    given = set()
    for name in ("performance", "standing"):
        file = Path(dicom_node.__file__).parent / "workitems" / f"{name}.py"
        for node in ast.walk(ast.parse(file.read_text())):
            is_stopped = isinstance(node, ast.keyword) and node.arg == "stopped"
            first = node.value.elts[0] if is_stopped and isinstance(node.value, ast.Tuple) else None
            if isinstance(first, ast.Constant):
                given.add(first.value)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_give_up":
                given |= {one.value for one in node.args[1:2] if isinstance(one, ast.Constant)}

    assert given
    assert given - set(OF_REASONS) == set()


def test_documented_codes_are_those_that_are_sent() -> None:
    page = Path(dicom_node.__file__).parents[1] / "docs" / "ways" / "worklist.md"
    _, table, _ = page.read_text().replace("<!-- end of", "<!--").split("<!-- ", 2)
    rows = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith("| 11")]

    assert {code.strip("| "): meaning for code, meaning in rows} == MEANINGS
