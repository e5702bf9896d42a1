"""Phantom patients as breasts of an image-label set, and their truth."""

from training.data.breast_records import BreastRecord, ImageLabels
from training.phantoms.families import draw_patient
from training.phantoms.family import Family
from training.phantoms.patient import Patient
from training.phantoms.view import VIEW_POSITIONS


def phantom_records(
    seed: int, studies: int, first: int = 0, family: Family = Family.PLAIN, *, look: int = 0
) -> list[BreastRecord]:
    """Return the breasts of some patients of a seed; images by the names of `image_name`.

    Parameters
    ----------
    look : number of the images' look, see `name_in_look`
    """
    return [
        record
        for number in range(first, first + studies)
        for record in _records_of(draw_patient(seed, number, family), look)
    ]


def image_name(patient: Patient, laterality: str, view_position: str) -> str:
    """Return the name of one view's image."""
    return f"{patient.patient_id}-{laterality}{view_position}"


def name_in_look(name: str, look: int) -> str:
    """Return an image's name in one of its looks: joined sets need names of their own."""
    return f"{name}-{look}" if look else name


def _records_of(patient: Patient, look: int) -> list[BreastRecord]:
    records = []
    for breast in patient.breasts:
        labels = ImageLabels(
            observations=tuple(lesion.observation for lesion in breast.lesions),
            density=patient.density,
        )
        names = {
            view: name_in_look(image_name(patient, breast.laterality, view), look)
            for view in VIEW_POSITIONS
        }
        records.append(
            BreastRecord(
                patient_id=patient.patient_id,
                laterality=breast.laterality,
                images={view: (name,) for view, name in names.items()},
                labels=dict.fromkeys(names.values(), labels),
                fold=patient.fold,
            )
        )
    return records
