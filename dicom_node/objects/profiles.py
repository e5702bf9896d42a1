"""Which objects, in which form, a destination is sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dicom_node.objects.cad_sr.options import DEFAULT_CAD_OPTIONS, CadOptions
from dicom_node.objects.sc.pixel_encoding import DEFAULT_FORM, PictureForm
from dicom_node.objects.sr.measurement_report import COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR
from dicom_node.objects.uids import ON_REQUEST, ResultKind

EVIDENCE: Final = (
    ResultKind.SECONDARY_CAPTURE,
    ResultKind.SUMMARY_SHEET,
    ResultKind.SEGMENTATION,
    ResultKind.ATTENTION_SEGMENTATION,
)
"""Kinds that a TID 1500 report lists as evidence, where the same destination gets them."""

PICTURES: Final = frozenset(
    {ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET, ResultKind.PDF_REPORT}
)
"""Kinds that show the images themselves."""

_BEFORE_REPORTS: Final = (*EVIDENCE, ResultKind.PRESENTATION_STATE, ResultKind.PDF_REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One form of one kind of object: made once, sent to every destination that takes it.

    Attributes
    ----------
    variant : what tells it from another form of the same kind; may be empty
    """

    kind: ResultKind
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one sort of viewer or workstation can use.

    Attributes
    ----------
    report_sop_class_uid : Comprehensive 3D SR or Comprehensive SR, for the TID 1500 report
    """

    objects: frozenset[ResultKind]
    report_sop_class_uid: str = COMPREHENSIVE_3D_SR
    cad: CadOptions = DEFAULT_CAD_OPTIONS
    form: PictureForm = DEFAULT_FORM

    def __post_init__(self) -> None:
        if not self.objects:
            raise ValueError("a profile without objects sends nothing")

    @property
    def products(self) -> tuple[Product, ...]:
        """Return what is made for this profile, reports last since they refer to the rest."""
        made = [Product(kind=kind, variant=self._variant_of(kind)) for kind in _BEFORE_REPORTS]
        made.append(self.report)
        made.append(Product(kind=ResultKind.CAD_REPORT, variant=self.cad.variant))
        return tuple(product for product in made if product.kind in self.objects)

    @property
    def parts(self) -> tuple[Product, ...]:
        """Return the pictures and segmentations among the products."""
        return tuple(product for product in self.products if product.kind in EVIDENCE)

    @property
    def report(self) -> Product:
        """Return the TID 1500 report: it says which parts go with it, so these tell it apart."""
        evidence = sorted(kind for kind in EVIDENCE if kind in self.objects)
        variant = " ".join((self.report_sop_class_uid, "+".join(evidence), self.form.variant))
        return Product(kind=ResultKind.MEASUREMENT_REPORT, variant=variant)

    def _variant_of(self, kind: ResultKind) -> str:
        if kind is ResultKind.PDF_REPORT:
            return self.form.style.value
        return self.form.variant if kind in PICTURES else ""


OHIF: Final = Profile(
    objects=frozenset(
        {
            ResultKind.MEASUREMENT_REPORT,
            ResultKind.SEGMENTATION,
            ResultKind.SECONDARY_CAPTURE,
        }
    )
)
WORKSTATION: Final = Profile(
    objects=frozenset(
        {ResultKind.CAD_REPORT, ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET}
    )
)
PACS: Final = Profile(
    objects=frozenset(
        {ResultKind.MEASUREMENT_REPORT, ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET}
    ),
    report_sop_class_uid=COMPREHENSIVE_SR,
)
ALL: Final = Profile(objects=frozenset(ResultKind) - ON_REQUEST)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {"ohif": OHIF, "workstation": WORKSTATION, "pacs": PACS, "all": ALL}
)
"""The profiles that every installation has, by the name that a destination asks for."""


def products_of(profiles: Iterable[Profile]) -> frozenset[Product]:
    """Return everything that has to be made for these profiles, each product once."""
    return frozenset(product for profile in profiles for product in profile.products)
