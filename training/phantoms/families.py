"""Patients and views of every family of phantoms, by the family's name."""

from training.phantoms import patient as plain_patient
from training.phantoms import view as layered
from training.phantoms.family import Family
from training.phantoms.filament_view import draw_filament_view
from training.phantoms.patient import Breast, Patient
from training.phantoms.varied_patient import draw_varied_patient
from training.phantoms.view import COLUMNS, ROWS, PhantomView


def draw_patient(seed: int, number: int, family: Family = Family.PLAIN) -> Patient:
    """Draw a patient of a family: the same for the same seed and number."""
    if family is Family.PLAIN:
        return plain_patient.draw_patient(seed, number)
    return draw_varied_patient(seed, number, family)


def draw_view(
    patient: Patient,
    breast: Breast,
    view_position: str,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> PhantomView:
    """Draw one view as the patient's family is drawn."""
    draw = draw_filament_view if patient.family is Family.FILAMENT else layered.draw_view
    return draw(patient, breast, view_position, rows, columns)
