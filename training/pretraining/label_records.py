"""The breasts of an image-label table: what each image shows, from which its texts are written."""

from pathlib import Path
from typing import Final

import cv2

from training.data.breast_records import FOLDS, BreastRecord, ImageLabels
from training.data.image_files import find_named
from training.data.splits import check_no_leak, group_folds
from training.data.table_formats import VINDR_FINDINGS, image_labels
from training.data.table_reading import read_table
from training.errors import TableError
from training.reports.report_synthesis import Attribute, Observation

_TRAINING: Final = "training"


def read_image_label_table(path: Path, images: Path) -> list[BreastRecord]:
    """Read the training part of VinDr-Mammo's finding table: a breast of one study each.

    Its test part is left for evaluation. A finding counts where any row of an image has it; what
    it looks like is not stated, and is drawn anew each time a text is written.

    Parameters
    ----------
    images : folder
        Pictures lie anywhere below it, by their image's name.

    Returns
    -------
    list of BreastRecord
        Images by their path below the folder; folds of whole studies, 0 to 3, with masses and
        calcifications spread evenly.

    Raises
    ------
    TableError
        Columns are missing, rows are bad, pictures are not there, or nothing is for training.
    LeakError
        A study is in both parts, or there is only one study for training.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.1.
    """
    every = image_labels(read_table(path, VINDR_FINDINGS))
    check_no_leak(every["study_id"].tolist(), every["split"].tolist())
    rows = every[every["split"] == _TRAINING].reset_index(drop=True)
    if rows.empty:
        raise TableError(f"{path}: there are no images of split {_TRAINING!r}")
    studies = rows["study_id"].tolist()
    files = find_named([images], studies, rows["image_id"].tolist(), path)
    for file in files:
        if not cv2.haveImageReader(str(file)):
            raise TableError(f"{file} is not a PNG: `mammoclip-train prepare` converts DICOM files")
    rows["name"] = [str(file.relative_to(images)) for file in files]
    kind = 2 * rows["Mass"] + rows["Suspicious_Calcification"]
    folds = max(2, min(FOLDS, len(set(studies))))
    rows["fold"] = group_folds(studies, kind.tolist(), folds=folds)
    records = []
    for (study, laterality), breast in rows.groupby(["study_id", "laterality"], sort=False):
        views = breast.groupby("view_position", sort=False)["name"]
        records.append(
            BreastRecord(
                patient_id=str(study),
                laterality=str(laterality),
                images={str(view): tuple(names) for view, names in views},
                labels={row["name"]: _labels_of(row) for row in breast.to_dict("records")},
                fold=int(breast["fold"].iloc[0]),
            )
        )
    return records


def _labels_of(row: dict[str, object]) -> ImageLabels:
    shown = [attribute for attribute in Attribute if row[attribute.value.replace(" ", "_")]]
    return ImageLabels(
        observations=tuple(Observation(attribute=attribute) for attribute in shown),
        density=str(row["breast_density"])[-1],
    )
