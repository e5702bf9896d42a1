"""The findings document: the findings of a study as JSON, written and read."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import (
    BOX_THRESHOLD,
    FORMAT,
    BreastFindings,
    BundleIdentity,
    EngineIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    ScoreOf,
    StudyFindings,
)
from mammoclip_core.lesion_location import Depth, Height, Location, Side
from mammoclip_core.lesion_numbers import require_lesions

_FORMER: Final = 1
_READABLE: Final = (_FORMER, FORMAT)


def to_json(findings: StudyFindings) -> str:
    """Write the findings document: UTF-8 JSON with sorted keys, the same for equal findings."""
    return json.dumps(asdict(findings), sort_keys=True, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> StudyFindings:
    """Read a findings document that may come from outside, of this format or the former one.

    Numbers and locations of lesions are read where there are any. The former format has no score of
    a region and no threshold: there the highest box has its finding's score, and each other one its
    activation, held against `BOX_THRESHOLD`.

    Raises
    ------
    FindingsFormatError
        The text is not JSON, has another format number, an unknown or missing key, or a value
        outside its range.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        if document["format"] not in _READABLE:
            raise FindingsFormatError(
                f"findings format {document['format']!r}: expected {_FORMER} or {FORMAT}"
            )
        if document["format"] == _FORMER:
            _upgrade(document)
        images = tuple(map(_image_from, document["images"]))
        require_lesions(images)
        return StudyFindings(
            **_with(
                document,
                bundle=BundleIdentity(**document["bundle"]),
                images=images,
                breasts=tuple(map(_breast_from, document["breasts"])),
                study=tuple(map(_finding_from, document["study"])),
                engine=_engine_from(document.get("engine")),
                format=FORMAT,
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FindingsFormatError(f"not a findings document: {error}") from error


def _upgrade(document: Mapping[str, Any]) -> None:
    """Give each box of a document of the former format a score of its own, in place."""
    for image in document["images"]:
        for finding in image["findings"]:
            if finding["method"] != LocalisationMethod.BOX:
                continue
            highest = max((region["activation"] for region in finding["regions"]), default=0.0)
            for region in finding["regions"]:
                region["score_of"] = ScoreOf.REGION
                if region["activation"] == highest:
                    names = ("score", "calibrated", "above_threshold")
                    region.update({name: finding[name] for name in names})
                else:
                    score = region["activation"]
                    reaches = finding["above_threshold"] and score >= BOX_THRESHOLD
                    region.update(score=score, calibrated=False, above_threshold=reaches)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that JSON knows")


def _refuse_other_than_bool(document: Mapping[str, Any], *keys: str) -> None:
    """Refuse a judgement such as ``"no"``, which counts as true wherever it is asked."""
    for key in keys:
        if key in document and not isinstance(document[key], bool):
            raise ValueError(f"{key} is {document[key]!r}, neither true nor false")


def _with(document: Mapping[str, Any], **replaced: Any) -> dict[str, Any]:
    return {**document, **replaced}


def _engine_from(document: Mapping[str, Any] | None) -> EngineIdentity | None:
    return None if document is None else EngineIdentity(**document)


def _image_from(document: Mapping[str, Any]) -> ImageFindings:
    with _naming(f"image {document['sop_instance_uid']}"):
        return _image_in(document)


@contextmanager
def _naming(owner: str) -> Iterator[None]:
    """Say whose value it is that an error speaks of."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{owner}: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{owner}: {error}") from error


def _image_in(document: Mapping[str, Any]) -> ImageFindings:
    return ImageFindings(
        **_with(
            document,
            status=ImageStatus(document["status"]),
            findings=tuple(map(_finding_from, document["findings"])),
            density_scores=tuple(document["density_scores"]),
            view_modifiers=tuple(document.get("view_modifiers", ())),
        )
    )


def _breast_from(document: Mapping[str, Any]) -> BreastFindings:
    with _naming(f"breast {document['laterality']!r}"):
        return BreastFindings(
            **_with(document, findings=tuple(map(_finding_from, document["findings"])))
        )


def _finding_from(document: Mapping[str, Any]) -> Finding:
    with _naming(f"finding {document['name']}"):
        _refuse_other_than_bool(document, "calibrated", "above_threshold")
        return _finding_in(document)


def _finding_in(document: Mapping[str, Any]) -> Finding:
    return Finding(
        **_with(
            document,
            source=FindingSource(document["source"]),
            method=LocalisationMethod(document["method"]),
            regions=tuple(map(_region_from, document["regions"])),
            prompts=tuple(document.get("prompts", ())),
        )
    )


def _location_from(document: Mapping[str, Any] | None) -> Location | None:
    if document is None:
        return None
    return Location(
        **_with(
            document,
            depth=Depth(document["depth"]),
            height=Height(document.get("height", Height.UNKNOWN)),
            side=Side(document.get("side", Side.UNKNOWN)),
        )
    )


def _region_from(document: Mapping[str, Any]) -> Region:
    _refuse_other_than_bool(document, "calibrated", "above_threshold")
    left, top, right, bottom = document["box"]
    column, row = document["peak"]
    return Region(
        **_with(
            document,
            outline=tuple((float(x), float(y)) for x, y in document["outline"]),
            box=(left, top, right, bottom),
            peak=(column, row),
            score_of=ScoreOf(document.get("score_of", ScoreOf.FINDING)),
            location=_location_from(document.get("location")),
        )
    )
