"""Which objects, in which form, a destination is sent."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dicom_node.facts.result_kinds import COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, ResultKind, Variant
from dicom_node.objects.cad_sr.options import DEFAULT_CAD_OPTIONS, CadOptions
from dicom_node.objects.sc.pixel_encoding import DEFAULT_FORM, Compression, PictureForm


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
        return tuple(self.product(kind) for kind in ResultKind if kind in self.objects)

    @property
    def parts(self) -> tuple[Product, ...]:
        """Return the pictures and segmentations among the products."""
        return tuple(product for product in self.products if product.kind.row.is_evidence)

    def product(self, kind: ResultKind) -> Product:
        """Return a kind in the form that this profile asks for."""
        return Product(kind=kind, variant=self._variants[kind.row.variant])

    @property
    def _variants(self) -> dict[Variant, str]:
        evidence = sorted(kind for kind in self.objects if kind.row.is_evidence)
        return {
            Variant.NONE: "",
            Variant.PICTURE_STYLE: self.form.style.value,
            Variant.PICTURE_FORM: self.form.variant,
            # The report says which parts go with it, so these tell it apart.
            Variant.EVIDENCE: " ".join(
                (self.report_sop_class_uid, "+".join(evidence), self.form.variant)
            ),
            Variant.CAD_OPTIONS: self.cad.variant,
            # What a destination is not sent cannot be retracted there.
            Variant.RETRACTION: " ".join((_digest_of(self.objects), self.form.variant)),
        }


def _digest_of(kinds: Iterable[ResultKind]) -> str:
    return hashlib.sha256(" ".join(sorted(kinds)).encode()).hexdigest()[:16]


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
    ),
    # An archive may take what the old workstation behind it cannot read.
    form=PictureForm(compression=Compression.NONE),
)
PACS: Final = Profile(
    objects=frozenset(
        {ResultKind.MEASUREMENT_REPORT, ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET}
    ),
    report_sop_class_uid=COMPREHENSIVE_SR,
)
ALL: Final = Profile(objects=frozenset(kind for kind in ResultKind if not kind.row.is_on_request))

RETRACTION: Final = Profile(objects=frozenset({ResultKind.REJECTION_NOTE}))
"""What is sent of a study of which every image was rejected."""

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {"ohif": OHIF, "workstation": WORKSTATION, "pacs": PACS, "all": ALL}
)
"""The profiles that every installation has, by the name that a destination asks for."""
