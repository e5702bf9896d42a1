"""The findings document: the findings of a study as JSON, written and read."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import (
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
    StudyFindings,
)


def to_json(findings: StudyFindings) -> str:
    """Write the findings document: UTF-8 JSON with sorted keys, the same for equal findings."""
    return json.dumps(asdict(findings), sort_keys=True, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> StudyFindings:
    """Read a findings document that may come from outside.

    Raises
    ------
    FindingsFormatError
        The text is not JSON, has another format number, an unknown or missing key, or a value
        outside its range.
    """
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise FindingsFormatError(f"findings format {document['format']!r}, expected {FORMAT}")
        return StudyFindings(
            **_with(
                document,
                bundle=BundleIdentity(**document["bundle"]),
                images=tuple(map(_image_from, document["images"])),
                breasts=tuple(map(_breast_from, document["breasts"])),
                study=tuple(map(_finding_from, document["study"])),
                engine=_engine_from(document.get("engine")),
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FindingsFormatError(f"not a findings document: {error}") from error


def _with(document: Mapping[str, Any], **replaced: Any) -> dict[str, Any]:
    return {**document, **replaced}


def _engine_from(document: Mapping[str, Any] | None) -> EngineIdentity | None:
    return None if document is None else EngineIdentity(**document)


def _image_from(document: Mapping[str, Any]) -> ImageFindings:
    return ImageFindings(
        **_with(
            document,
            status=ImageStatus(document["status"]),
            findings=tuple(map(_finding_from, document["findings"])),
            density_scores=tuple(document["density_scores"]),
        )
    )


def _breast_from(document: Mapping[str, Any]) -> BreastFindings:
    return BreastFindings(
        **_with(document, findings=tuple(map(_finding_from, document["findings"])))
    )


def _finding_from(document: Mapping[str, Any]) -> Finding:
    return Finding(
        **_with(
            document,
            source=FindingSource(document["source"]),
            method=LocalisationMethod(document["method"]),
            regions=tuple(map(_region_from, document["regions"])),
            prompts=tuple(document.get("prompts", ())),
        )
    )


def _region_from(document: Mapping[str, Any]) -> Region:
    left, top, right, bottom = document["box"]
    column, row = document["peak"]
    return Region(
        **_with(
            document,
            outline=tuple((float(x), float(y)) for x, y in document["outline"]),
            box=(left, top, right, bottom),
            peak=(column, row),
        )
    )
