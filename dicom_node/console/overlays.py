"""The images of a study as a page shows them: a picture with the outlines of what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dicom_node.dicomweb.holdings import HeldObject
from dicom_node.dicomweb.stored_header import UnreadableHeldObjectError, header_of

_ROWS: Final = "00280010"
_COLUMNS: Final = "00280011"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The outline of one region.

    Attributes
    ----------
    points : as SVG writes them, in pixels of the image
    words : what it is of, with its score
    """

    points: str
    words: str
    above: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImage:
    """One image.

    Attributes
    ----------
    rows, columns : of the image, for the outlines; 0 if the header cannot be read
    remark : why it was not analysed, or what is to be known of it; else empty
    """

    sop_instance_uid: str
    view: str
    rows: int
    columns: int
    status: str
    remark: str
    outlines: Sequence[Outline]
    findings: Sequence[Mapping[str, Any]]


def shown_images(
    images: Sequence[tuple[HeldObject, Mapping[str, Any]]],
    answers: Mapping[str, Mapping[str, Any]],
) -> list[ShownImage]:
    """Return the images of a study with what was found on each.

    Parameters
    ----------
    images : files with what the ledger holds of each
    answers : images of the findings document, by SOP Instance UID
    """
    return [_shown(held, row, answers.get(held.sop_instance_uid, {})) for held, row in images]


def _shown(held: HeldObject, row: Mapping[str, Any], answer: Mapping[str, Any]) -> ShownImage:
    rows, columns = _size_of(held)
    findings = answer.get("findings", ())
    return ShownImage(
        sop_instance_uid=held.sop_instance_uid,
        view=f"{row['laterality']} {row['view_position']}".strip() or "view unknown",
        rows=rows,
        columns=columns,
        status=answer.get("status", "left_out" if row["left_out_reason"] else "waiting"),
        remark=answer.get("reason") or row["left_out_reason"],
        outlines=[
            Outline(
                points=" ".join(f"{x:.0f},{y:.0f}" for x, y in region["outline"]),
                words=f"{finding['name'].replace('_', ' ')} {region.get('score', 0):.2f}",
                above=bool(region.get("above_threshold", finding["above_threshold"])),
            )
            for finding in findings
            for region in finding.get("regions", ())
        ],
        findings=findings,
    )


def _size_of(held: HeldObject) -> tuple[int, int]:
    try:
        header = header_of(held)
    except UnreadableHeldObjectError:
        return 0, 0
    rows, columns = (header.get(tag, {}).get("Value", [0])[0] for tag in (_ROWS, _COLUMNS))
    return int(rows), int(columns)
