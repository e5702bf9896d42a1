"""The tables again, as the pictures are: their names, their boxes, and a fold for each patient."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.data.splits import check_no_leak, group_folds
from training.data.table_formats import IMAGE_TEXT, PLAIN, REPORTS, VINDR_FINDINGS
from training.preparation.image_text_row import image_text_row
from training.preparation.picture import Failure, Picture
from training.preparation.requested_images import Reference, Table, references_of
from training.reports.report_text import clean_report

if TYPE_CHECKING:
    import pandas as pd

IMAGE_TEXT_NAME: Final = "image_text.csv"
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")

Made = Mapping[Reference, Picture]
Row = dict[str, Any]


def fold_of_groups(groups: Sequence[str], labels: Sequence[int], folds: int) -> dict[str, int]:
    """Give each patient a fold, positive ones spread evenly; none where patients are too few."""
    positive: dict[str, int] = {}
    for group, label in zip(groups, labels, strict=True):
        positive[group] = max(label, positive.get(group, 0))
    if folds == 0 or len(positive) < folds:
        return {}
    names = sorted(positive)  # whatever the order of rows and of tables
    given = group_folds(names, [positive[name] for name in names], folds)
    return dict(zip(names, given.tolist(), strict=True))


def moved(
    table: Table, made: Made, size: tuple[int, int], folds: Mapping[str, int]
) -> tuple["pd.DataFrame", list[Failure]]:
    """Return a table's rows whose pictures were made, and what is wrong with further rows.

    Parameters
    ----------
    size : (rows, columns) of the pictures
    folds : by patient; empty for none
    """
    import pandas as pd

    if table.layout is REPORTS:
        return _image_text_of(table, made, folds)
    rows: list[Row] = []
    failures: list[Failure] = []
    for index, references in references_of(table):
        cells = dict(table.cells.loc[index])
        values = dict(table.rows.loc[index])
        found = {item.name: made[item] for item in references if item in made}
        if not found:
            continue
        if table.layout is IMAGE_TEXT:
            own = _named_again(cells, values, found)
            if not own:
                reason = f"{values['patient_id']} {values['laterality']}: no CC or MLO is left"
                failures.append(Failure(reason=reason))
                continue
        else:
            (picture,) = found.values()
            fault = _size_fault(values, picture) if "height" in table.layout.columns else ""
            if fault:
                failures.append(
                    Failure(
                        file=picture.file,
                        sop_instance_uid=picture.header.sop_instance_uid,
                        image_id=str(values.get("image_id", "")),
                        reason=fault,
                    )
                )
                continue
            own = {**cells, "image": picture.image}
            if table.layout is VINDR_FINDINGS:
                own |= _moved_box(values, picture.geometry(*size))
            if table.layout is PLAIN:
                own |= _from_header(cells, picture)
        rows.append(_with_fold(own, own[table.layout.group], folds))
    frame = pd.DataFrame(rows)
    for column in {"fold", "split"} & set(frame.columns):
        check_no_leak(frame[table.layout.group].tolist(), frame[column].tolist())
    return frame, failures


def _with_fold(row: Row, group: str, folds: Mapping[str, int]) -> Row:
    """Add the fold unless the table has a split or folds of its own."""
    if "fold" in row or "split" in row or group not in folds:
        return row
    return {**row, "fold": folds[group]}


def _size_fault(values: Mapping[str, Any], picture: Picture) -> str:
    """Say where a table means another image than the file holds: its boxes would be elsewhere."""
    stated = (values["height"], values["width"])
    held = (picture.source_rows, picture.source_columns)
    if stated == held:
        return ""
    return "the table says {} x {} pixels, the file has {} x {}".format(*stated, *held)


def _moved_box(values: Mapping[str, Any], geometry: Any) -> Row:
    """Move a finding's box to the picture's pixels; it is not cut off at the edge, as published."""
    corners = [values[name] for name in _CORNERS]
    if any(math.isnan(value) for value in corners):
        return {f"resized_{name}": "" for name in _CORNERS}
    points = np.array(corners, dtype=np.float64).reshape(2, 2)
    moved_corners = geometry.to_input(points).ravel().tolist()
    return {f"resized_{name}": value for name, value in zip(_CORNERS, moved_corners, strict=True)}


def _from_header(cells: Mapping[str, Any], picture: Picture) -> Row:
    """Return what an own table leaves to the DICOM header."""
    header = picture.header
    known = {
        "image_id": Path(picture.image).stem,
        "patient_id": header.patient,
        "laterality": header.laterality,
        "view": header.view,
    }
    return {name: cells.get(name) or value for name, value in known.items()}


def _named_again(
    cells: Mapping[str, Any], values: Mapping[str, Any], found: Mapping[str, Picture]
) -> Row:
    """Name a breast's pictures in an image-text row; empty where none of CC and MLO is left."""
    own = dict(cells)
    for column in ("image", "CC", "MLO"):
        if column in values:
            own[column] = repr([found[name].image for name in values[column] if name in found])
    if own["CC"] == own["MLO"] == "[]":
        return {}
    return own


def _image_text_of(
    table: Table, made: Made, folds: Mapping[str, int]
) -> tuple["pd.DataFrame", list[Failure]]:
    """Join the rows of a breast's images and their report into the published image-text row."""
    import pandas as pd

    breasts: dict[tuple[str, str], list[tuple[Row, Picture, str]]] = {}
    failures = []
    for index, (reference,) in references_of(table):
        picture = made.get(reference)
        if picture is None:
            continue
        values = dict(table.rows.loc[index])
        laterality = values.get("laterality") or picture.header.laterality
        view = (values.get("view") or picture.header.view).upper()
        if laterality not in {"L", "R"}:
            failures.append(
                _left_out(
                    picture,
                    reference,
                    "neither the table nor the DICOM header states the laterality",
                )
            )
            continue
        breasts.setdefault((values["patient_id"], laterality), []).append((values, picture, view))
    rows = []
    for (patient, laterality), images in breasts.items():
        row = _breast_row(patient, laterality, images)
        reason = ""
        if row["CC"] == row["MLO"] == "[]":
            reason = "neither a CC nor an MLO image"
        elif not row["findings"] and not row["impressions"]:
            reason = "the report holds no sentence"
        if reason:
            picture = images[0][1]
            failures.append(Failure(reason=f"{patient} {laterality}: {reason}", file=picture.file))
            continue
        rows.append(_with_fold(row, patient, folds))
    return pd.DataFrame(rows), failures


def _breast_row(patient: str, laterality: str, images: Sequence[tuple[Row, Picture, str]]) -> Row:
    def section(name: str) -> str:
        return next((values[name] for values, _, _ in images if values[name].strip()), "")

    report = clean_report(findings=section("FINDINGS"), impression=section("IMPRESSION"))
    row: Row = image_text_row(
        patient,
        laterality,
        [(picture.image, view) for _, picture, view in images],
        findings=report.findings,
        impressions=report.impression,
    )
    fold = next((values["fold"] for values, _, _ in images if "fold" in values), None)
    return row if fold is None else {**row, "fold": fold}


def _left_out(picture: Picture, reference: Reference, reason: str) -> Failure:
    return Failure(
        file=picture.file,
        sop_instance_uid=picture.header.sop_instance_uid,
        image_id=reference.name,
        reason=reason,
    )


def picture_row(
    picture: Picture, reference: Reference, size: tuple[int, int], folds: Mapping[str, int]
) -> Row:
    """Return what is known of a picture: whose it is, and which part of which file it shows."""
    header = picture.header
    left, top, right, bottom = (round(value) for value in picture.geometry(*size).extent)
    row: Row = {
        "image_id": Path(picture.image).stem,
        "image": picture.image,
        "patient_id": reference.group or header.patient,
        "laterality": header.laterality,
        "view": header.view,
        "sop_instance_uid": header.sop_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "presentation_intent": header.presentation_intent,
        "file": picture.file,
        "height": picture.source_rows,
        "width": picture.source_columns,
        "crop_left": left,
        "crop_top": top,
        "crop_right": right,
        "crop_bottom": bottom,
    }
    return _with_fold(row, row["patient_id"], folds)
