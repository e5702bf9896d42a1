"""A phantom's rows in the published tables, and the truth about its lesions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from training.phantoms.patient import Breast, Patient
from training.phantoms.reports import write_report
from training.phantoms.view import VIEW_POSITIONS, PhantomView, ShownLesion
from training.reports.report_synthesis import Attribute
from training.reports.report_text import to_cell

Row = Mapping[str, Any]
Tables = dict[str, list[Row]]

_BENIGN_BIRADS: Final = 2


def rows_of(patient: Patient, views: Sequence[PhantomView]) -> Tables:
    """Return a patient's rows of each table, by file name.

    ``image_text.csv`` has one row a breast, ``finding_annotations.csv`` one a finding,
    ``breast-level_annotations.csv``, ``rsna_train.csv`` and ``images.csv`` one an image,
    ``truth.csv`` one a lesion on an image. Boxes are in pixels of the pictures.
    """
    return {
        "image_text.csv": [_image_text_row(patient, breast, views) for breast in patient.breasts],
        "finding_annotations.csv": [row for view in views for row in _finding_rows(view)],
        "breast-level_annotations.csv": [_breast_row(view) for view in views],
        "rsna_train.csv": [_rsna_row(view) for view in views],
        "images.csv": [_image_row(view) for view in views],
        "truth.csv": [
            _truth_row(view, number, shown)
            for view in views
            for number, shown in enumerate(view.lesions, start=1)
        ],
    }


def image_path(view: PhantomView) -> str:
    """Return where a picture lies below the folder ``png``."""
    return f"{view.patient.patient_id}/{view.image_id}.png"


def mask_path(view: PhantomView, number: int) -> str:
    """Return where the mask of a view's lesion, counted from 1, lies below ``masks``."""
    return f"{view.patient.patient_id}/{view.image_id}-{number}.png"


def _image_text_row(patient: Patient, breast: Breast, views: Sequence[PhantomView]) -> Row:
    of_breast = [view for view in views if view.breast is breast]
    by_position = {
        position: [image_path(view) for view in of_breast if view.view_position == position]
        for position in VIEW_POSITIONS
    }
    report, other = write_report(patient, breast), write_report(patient, breast, version=1)
    findings, impression = to_cell(report.findings), to_cell(report.impression)
    return {
        "patient_id": patient.patient_id,
        "laterality": breast.laterality,
        "image": repr([image_path(view) for view in of_breast]),
        "view": repr([position for position, paths in by_position.items() if paths]),
        **{position: repr(paths) for position, paths in by_position.items()},
        "text": repr([findings, impression]),
        "findings": findings,
        "impressions": impression,
        "text_augment": repr([to_cell(other.findings), to_cell(other.impression)]),
        "fold": patient.fold,
    }


def _image_facts(view: PhantomView) -> dict[str, Any]:
    rows, columns = view.pixels.shape
    return {
        "study_id": view.patient.patient_id,
        "series_id": view.patient.patient_id,
        "image_id": view.image_id,
        "laterality": view.breast.laterality,
        "view_position": view.view_position,
        "height": rows,
        "width": columns,
        "breast_birads": f"BI-RADS {view.breast.birads}",
        "breast_density": f"DENSITY {view.patient.density}",
    }


def _finding_rows(view: PhantomView) -> Iterator[Row]:
    """Yield a row for each lesion, or the one that says that there is none."""
    for shown in view.lesions:
        yield {
            **_image_facts(view),
            "finding_categories": repr([shown.lesion.observation.attribute.value]),
            "finding_birads": f"BI-RADS {shown.lesion.birads}",
            **dict(zip(("xmin", "ymin", "xmax", "ymax"), shown.box, strict=True)),
            "split": view.patient.split,
        }
    if not view.lesions:
        yield {
            **_image_facts(view),
            "finding_categories": "['No Finding']",
            "finding_birads": "",
            **dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), ""),
            "split": view.patient.split,
        }


def _breast_row(view: PhantomView) -> Row:
    return {**_image_facts(view), "split": view.patient.split}


def _image_row(view: PhantomView) -> Row:
    """Return the labels of one image, as the published training tables derive them."""
    shown = {item.lesion.observation.attribute for item in view.lesions}
    labels = {attribute.value.replace(" ", "_"): int(attribute in shown) for attribute in Attribute}
    return {
        "patient_id": view.patient.patient_id,
        "image_id": view.image_id,
        "image": image_path(view),
        "laterality": view.breast.laterality,
        "view": view.view_position,
        **labels,
        "No_Finding": int(not shown),
        "density": view.patient.density,
        "gland_share": f"{view.gland_share:.4f}",
        "row_spacing_mm": f"{view.spacing_mm[0]:.6f}",
        "column_spacing_mm": f"{view.spacing_mm[1]:.6f}",
        "age": view.patient.age,
        "machine_id": view.patient.machine_id,
        "split": view.patient.split,
        "fold": view.patient.fold,
    }


def _rsna_row(view: PhantomView) -> Row:
    breast, patient = view.breast, view.patient
    is_recalled = breast.birads >= 3
    # The screening result of that table: 0 recalled, 1 negative, 2 benign.
    return {
        "site_id": 1,
        "patient_id": patient.patient_id,
        "image_id": view.image_id,
        "laterality": breast.laterality,
        "view": view.view_position,
        "age": patient.age,
        "cancer": int(breast.is_cancer),
        "biopsy": int(breast.birads >= 4),
        "invasive": int(any(item.is_cancer and item.contrast > 0 for item in breast.lesions)),
        "BIRADS": 0 if is_recalled else breast.birads,
        "implant": 0,
        "density": patient.density,
        "machine_id": patient.machine_id,
        "difficult_negative_case": is_recalled and not breast.is_cancer,
        "fold": patient.fold,
    }


def _truth_row(view: PhantomView, number: int, shown: ShownLesion) -> Row:
    lesion = shown.lesion
    terms = lesion.observation.terms
    left, top, right, bottom = shown.box
    return {
        "image_id": view.image_id,
        "lesion": number,
        "category": lesion.observation.attribute.value,
        **{
            slot: terms.get(slot, "")
            for slot in ("shape", "margin", "density", "morphology", "distribution", "place")
        },
        "size_mm": f"{lesion.size_mm:.2f}",
        "contrast": f"{lesion.contrast:.3f}" if lesion.contrast else "",
        "texture": f"{shown.texture:.1f}",
        "birads": lesion.birads,
        "cancer": int(lesion.is_cancer),
        "xmin": left,
        "ymin": top,
        "xmax": right,
        "ymax": bottom,
        "mask": mask_path(view, number),
        "row_spacing_mm": f"{view.spacing_mm[0]:.6f}",
        "column_spacing_mm": f"{view.spacing_mm[1]:.6f}",
        "split": view.patient.split,
    }
