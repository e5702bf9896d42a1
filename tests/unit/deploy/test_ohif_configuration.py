"""What the settings of OHIF take an image for, decided by its attributes alone."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from services import require_program

from mammoclip_core.images.header.own_result import MANUFACTURER

SETTINGS: Final = Path(__file__).parents[3] / "deploy" / "ohif" / "app-config.js"
_ASK: Final = """
globalThis.window = {};
require(process.argv[1]);
const found = {};
const hangingProtocolService = { addCustomAttribute: (name, _, f) => { found[name] = f; } };
const servicesManager = { services: { hangingProtocolService } };
window.config.extensions[0].preRegistration({ servicesManager });
const questions = JSON.parse(process.argv[2]);
const answers = questions.map(([name, shown, options]) => found[name](shown, options));
console.log(JSON.stringify(answers));
"""

CC: Final = {"CodeValue": "399162004", "CodingSchemeDesignator": "SCT"}
MLO_OF_OLD: Final = {"CodeValue": "R-10226", "CodingSchemeDesignator": "SRT"}
SPOT: Final = {"CodeValue": "399055006", "CodingSchemeDesignator": "SCT"}
PLAIN: Final = {"Modality": "MG", "ImageLaterality": "R", "ViewCodeSequence": [CC]}


def _answers(*questions: tuple[str, Any, Any]) -> Any:
    """Return what attributes say of what is shown, each asked with its options."""
    command = [require_program("node"), "-e", _ASK, str(SETTINGS), json.dumps(questions)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def _set(**attributes: Any) -> dict[str, Any]:
    return {"instances": [attributes]}


VIEWS: Final[list[tuple[dict[str, Any], str]]] = [
    (PLAIN, "R CC"),
    ({**PLAIN, "ViewCodeSequence": MLO_OF_OLD}, "R MLO"),
    ({"Modality": "MG", "Laterality": "L", "ViewPosition": "MLO"}, "L MLO"),
    ({**PLAIN, "ViewModifierCodeSequence": [SPOT]}, ""),
    ({**PLAIN, "ViewCodeSequence": [{**CC, "ViewModifierCodeSequence": [SPOT]}]}, ""),
    ({**PLAIN, "ViewCodeSequence": [{"CodeValue": "399260004"}], "ViewPosition": "CC"}, ""),
    ({**PLAIN, "Manufacturer": MANUFACTURER}, ""),
    ({**PLAIN, "Modality": "OT"}, ""),
    ({}, ""),
]
TURNS: Final[list[tuple[list[str] | None, bool, int]]] = [
    (["P", "L"], False, 0),
    (["A", "L"], True, 0),
    (["A", "R"], False, 180),
    (["P", "R"], True, 180),
    (None, False, 0),
]
"""Orientations of a right craniocaudal view, whether it is flipped, and degrees."""


def test_view_is_told_by_side_and_code() -> None:
    answers = _answers(*(("mammographyView", _set(**image), None) for image, _ in VIEWS))

    assert answers == [view for _, view in VIEWS]


def test_image_is_turned_as_its_orientation_asks() -> None:
    shown = [[_set(**PLAIN, PatientOrientation=orientation)] for orientation, *_ in TURNS]

    assert _answers(
        *(("mustBeFlipped", image, None) for image in shown),
        *(("mustBeRotatedBy", image, None) for image in shown),
        ("mustBeFlipped", [], None),
    ) == [*(flipped for _, flipped, _ in TURNS), *(degrees for *_, degrees in TURNS), False]


def test_former_revision_of_a_result_is_not_the_newest_one() -> None:
    series = [
        _set(Manufacturer=MANUFACTURER, SeriesDescription=f"{view} AI regions, rev {number}")
        for view, number in (("L CC", 9), ("L CC", 10), ("L MLO", 9))
    ]
    options = {"displaySets": series}

    answers = _answers(*(("isNewestResult", one, options) for one in series))

    assert answers == [False, True, True]
