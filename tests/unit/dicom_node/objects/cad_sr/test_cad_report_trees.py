"""A CAD report has the tree of its template, equal for equal answers."""

from cad_reports_read import four_views
from objects_factory import bytes_of, standard_views
from sr_reading import drawn_tree

LIBRARY_ROWS = (
    "HAS ACQ CONTEXT CODE 111027 = {breast}",
    "HAS ACQ CONTEXT CODE 111031 = {view}",
    "HAS ACQ CONTEXT TEXT 111044",
    "HAS ACQ CONTEXT TEXT 111043",
    "HAS ACQ CONTEXT DATE 111060",
    "HAS ACQ CONTEXT TIME 111061",
    "HAS ACQ CONTEXT DATE 111018",
    "HAS ACQ CONTEXT TIME 111019",
    "HAS ACQ CONTEXT NUM 111026",
    "HAS ACQ CONTEXT NUM 111066",
)
BREASTS = {"R": "73056007", "L": "80248007"}
VIEWS = {"CC": "399162004", "MLO": "399368009"}
REFERENCES = tuple(f"HAS PROPERTIES by reference 1\\2\\{number}" for number in (1, 2, 3, 4))


def head() -> list[str]:
    lines = [
        "1 CONTAINER 111036",
        "1.1 HAS CONCEPT MOD CODE 121049 = en-US",
        "1.2 CONTAINS CONTAINER 111028",
    ]
    for number, (side, view) in enumerate(standard_views(), start=1):
        lines.append(f"1.2.{number} CONTAINS IMAGE")
        lines += [
            f"1.2.{number}.{row} " + text.format(breast=BREASTS[side], view=VIEWS[view])
            for row, text in enumerate(LIBRARY_ROWS, start=1)
        ]
    return lines


def overall(summary: str) -> list[str]:
    return [
        f"1.3 CONTAINS CODE 111017 = {summary}",
        "1.3.1 HAS PROPERTIES TEXT 111033",
        "1.3.2 HAS PROPERTIES TEXT 111001",
        "1.3.3 HAS PROPERTIES TEXT 111003",
    ]


def performed(place: str, mark: str, *references: str) -> list[str]:
    rows = ("HAS PROPERTIES TEXT 111001", "HAS PROPERTIES TEXT 111003", *references)
    return [
        f"{place} CONTAINS CODE 111022 = {mark}",
        *(f"{place}.{number} {row}" for number, row in enumerate(rows, start=1)),
    ]


def impression(place: str, mark: str, image: int) -> list[str]:
    return [
        f"{place} INFERRED FROM CONTAINER 111034",
        f"{place}.1 HAS CONCEPT MOD CODE 111056 = 111150",
        f"{place}.2 CONTAINS CODE 111059 = {mark}",
        f"{place}.2.1 HAS CONCEPT MOD CODE 111056 = 111150",
        f"{place}.2.2 HAS OBS CONTEXT TEXT 112039",
        f"{place}.2.3 HAS OBS CONTEXT UIDREF 112040",
        f"{place}.2.4 HAS PROPERTIES TEXT 111001",
        f"{place}.2.5 HAS PROPERTIES TEXT 111003",
        f"{place}.2.6 HAS PROPERTIES NUM 111012",
        f"{place}.2.7 HAS PROPERTIES SCOORD 111010",
        f"{place}.2.7.1 SELECTED FROM by reference 1\\2\\{image}",
        f"{place}.2.8 HAS PROPERTIES SCOORD 111041",
        f"{place}.2.8.1 SELECTED FROM by reference 1\\2\\{image}",
    ]


def test_tree_without_findings_is_the_verified_one() -> None:
    assert drawn_tree(four_views()) == [
        *head(),
        *overall("111241"),
        "1.4 CONTAINS CODE 111064 = 111222",
        "1.4.1 INFERRED FROM CONTAINER 111063",
        *performed("1.4.1.1", "129793001", *REFERENCES),
        *performed("1.4.1.2", "111099", *REFERENCES),
        "1.5 CONTAINS CODE 111065 = 111225",
    ]


def test_tree_with_two_findings_is_the_verified_one() -> None:
    assert drawn_tree(four_views(found=True)) == [
        *head(),
        *overall("111242"),
        *impression("1.3.4", "129793001", 1),
        *impression("1.3.5", "111099", 3),
        "1.3.5.2.9 HAS PROPERTIES TEXT 111058",
        "1.4 CONTAINS CODE 111064 = 111222",
        "1.4.1 INFERRED FROM CONTAINER 111063",
        *performed("1.4.1.1", "129793001", *REFERENCES),
        *performed("1.4.1.2", "111099", *REFERENCES),
        "1.5 CONTAINS CODE 111065 = 111225",
    ]


def test_tree_with_a_failed_image_is_the_verified_one() -> None:
    report = four_views(failed=("L", "MLO"))

    assert drawn_tree(report) == [
        *head(),
        *overall("111243"),
        "1.4 CONTAINS CODE 111064 = 111223",
        "1.4.1 INFERRED FROM CONTAINER 111063",
        *performed("1.4.1.1", "129793001", *REFERENCES[:3]),
        *performed("1.4.1.2", "111099", *REFERENCES[:3]),
        "1.4.2 INFERRED FROM CONTAINER 111025",
        *performed("1.4.2.1", "129793001", REFERENCES[3]),
        *performed("1.4.2.2", "111099", REFERENCES[3]),
        "1.5 CONTAINS CODE 111065 = 111225",
    ]
    assert report.CompletionFlag == "PARTIAL"


def test_equal_answers_give_equal_bytes() -> None:
    assert bytes_of(four_views(found=True)) == bytes_of(four_views(found=True))
