"""What a destination may choose of its mammography CAD report."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dicom_node.objects.cad_sr.snomed_rt import CodingScheme


class SpacingUnit(StrEnum):
    """The unit of pixel spacing in the Image Library; the template allows both (TID 4020)."""

    MICROMETER = "um"
    MILLIMETER = "mm"


class CompositionForm(StrEnum):
    """How the density of the breasts is stated."""

    WORDS = "words"
    CODED = "coded"


class PlainMark(StrEnum):
    """The mark of a finding that is no mark of its own, such as malignancy."""

    BREAST_DENSITY = "breast_density"
    SELECTED_REGION = "selected_region"


@dataclass(frozen=True, slots=True, kw_only=True)
class CadOptions:
    """Choices within the template; the defaults suit most mammography workstations.

    Attributes
    ----------
    composition : words, or a coded finding
        A coded one makes every report one with findings, since the template has it among them.
    """

    coding: CodingScheme = CodingScheme.SCT
    spacing_unit: SpacingUnit = SpacingUnit.MICROMETER
    composition: CompositionForm = CompositionForm.WORDS
    plain_mark: PlainMark = PlainMark.BREAST_DENSITY

    @property
    def variant(self) -> str:
        """Return what tells a report with these choices from one with others."""
        return " ".join((self.coding, self.spacing_unit, self.composition, self.plain_mark))


DEFAULT_CAD_OPTIONS: Final = CadOptions()
