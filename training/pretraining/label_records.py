"""The breasts of an image-label table: what each image shows, from which its texts are written."""

from pathlib import Path, PurePosixPath
from typing import Final

import cv2

from training.data.breast_records import FOLDS, BreastRecord, ImageLabels
from training.data.image_files import find_named
from training.data.image_source import is_picture_folder, names_in_array
from training.data.splits import check_no_leak, group_folds
from training.data.table_formats import VINDR_FINDINGS, image_labels
from training.data.table_reading import read_table
from training.errors import TableError
from training.reports.report_synthesis import Attribute, Observation

_TRAINING: Final = "training"


def read_image_label_table(
    path: Path, images: Path, *, may_be_missing: bool = False
) -> list[BreastRecord]:
    """Read the training part of VinDr-Mammo's finding table: a breast of one study each.

    Its test part is left for evaluation. A finding counts where any row of an image has it; what
    it looks like is not stated, and is drawn anew each time a text is written.

    Parameters
    ----------
    images : folder of pictures, or of an array of them
        Pictures lie anywhere below it, by their image's name.
    may_be_missing : bool
        Name a picture that is missing as if it lay in its study's folder.

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
    named = _names_in_array if not is_picture_folder(images) else _names_in_folder
    rows["name"] = named(images, studies, rows["image_id"].tolist(), path, may_be_missing)
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


def test_patients(path: Path) -> frozenset[str]:
    """Return the patients of a finding table's test part; raises TableError where it has faults."""
    rows = read_table(path, VINDR_FINDINGS)
    return frozenset(rows["study_id"][rows["split"] != _TRAINING])


def _names_in_folder(
    images: Path, studies: list[str], ids: list[str], table: Path, may_be_missing: bool
) -> list[str]:
    files = find_named([images], studies, ids, table, may_be_missing=may_be_missing)
    for file in files:
        if file.is_file() and not cv2.haveImageReader(str(file)):
            raise TableError(f"{file} is not a PNG: `mammoclip-train prepare` converts DICOM files")
    return [str(file.relative_to(images)) for file in files]


def _names_in_array(
    images: Path, studies: list[str], ids: list[str], table: Path, may_be_missing: bool
) -> list[str]:
    """Return the names of images in an array, which are those of the pictures it was made of."""
    by_id: dict[str, list[str]] = {}
    for name in names_in_array(images):
        by_id.setdefault(PurePosixPath(name).stem, []).append(name)
    found = []
    for study, image_id in zip(studies, ids, strict=True):
        known = by_id.get(image_id, [])
        in_study = [name for name in known if PurePosixPath(name).parent.name == study]
        name = (in_study or (known if len(known) == 1 else [""]))[0]
        if not name and not may_be_missing:
            raise TableError(f"{table}: the array in {images} has no image {image_id}")
        found.append(name or f"{study}/{image_id}")
    return found


def _labels_of(row: dict[str, object]) -> ImageLabels:
    shown = [attribute for attribute in Attribute if row[attribute.value.replace(" ", "_")]]
    return ImageLabels(
        observations=tuple(Observation(attribute=attribute) for attribute in shown),
        density=str(row["breast_density"])[-1],
    )
