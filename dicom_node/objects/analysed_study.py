"""What the plans of all kinds are given: one analysed study, its images drawn when asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.hanging import Page, cell_of, images_on, pages_of
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.frames import ImageKey, key_of
from dicom_node.objects.products import Product, Profile
from dicom_node.objects.sc.pixel_encoding import PictureForm
from dicom_node.objects.sources import SourceInstance, has_size
from mammoclip_core.findings import ImageFindings, ImageStatus, StudyAnalysis

_ON_PAGES: Final = (ResultKind.SUMMARY_SHEET, ResultKind.PDF_REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """What a site may choose of all its pictures.

    Attributes
    ----------
    picture_modality : ``OT``, or ``MG`` for sites that hang the pictures among the views
    picture_long_side : pixels
        Larger images are scaled down to it.
    """

    picture_modality: str = "OT"
    picture_long_side: int = 2048


DEFAULT_OPTIONS: Final = ResultOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedObject:
    """An object that is to be made; `build` writes its content.

    Attributes
    ----------
    source_sop_instance_uid : of the one image that the object is for; None for a whole study
    """

    product: Product
    build: Callable[[], Dataset]
    source_sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One object to send.

    Attributes
    ----------
    source_sop_instance_uid : of the one image that the object is for; None for a whole study
    """

    product: Product
    dataset: Dataset
    source_sop_instance_uid: str | None = None

    @property
    def kind(self) -> ResultKind:
        """Return the kind of the object, whatever its form."""
        return self.product.kind


@dataclass(kw_only=True)
class AnalysedStudy:
    """One study with its answer, and the profiles of the destinations that are sent results.

    Attributes
    ----------
    by_uid : the images by SOP Instance UID
    profiles : each once
    former : the results of all former revisions
    """

    by_uid: Mapping[str, SourceInstance]
    analysis: StudyAnalysis
    context: ResultContext
    options: ResultOptions
    profiles: Sequence[Profile]
    former: Sequence[FormerResult]
    _last_shown: tuple[ImageKey, DisplayPicture] | None = None
    _tiles: dict[ImageKey, DisplayPicture] = field(default_factory=dict)

    def profiles_with(self, kind: ResultKind) -> list[Profile]:
        """Return the profiles that name a kind, in the order of the destinations."""
        return [profile for profile in self.profiles if kind in profile.objects]

    def forms(self, kind: ResultKind) -> list[PictureForm]:
        """Return the forms in which a kind of picture is asked for, each once."""
        forms = {profile.form.variant: profile.form for profile in self.profiles_with(kind)}
        return [forms[variant] for variant in sorted(forms)]

    def shown(self, image: ImageFindings) -> DisplayPicture:
        """Return an image as a viewer shows it; decoded once for calls that follow each other."""
        key = key_of(image)
        if self._last_shown is None or self._last_shown[0] != key:
            long_side = self.options.picture_long_side
            shown = self.by_uid[image.sop_instance_uid].shown(image.frame, long_side)
            self._last_shown = (key, shown)
            if key in self._on_pages:
                self._tiles[key] = shown.within(*cell_of(long_side))
        return self._last_shown[1]

    def on_page(self, image: ImageFindings) -> DisplayPicture:
        """Return an image that `pages` show, scaled down for its place there."""
        key = key_of(image)
        if key not in self._tiles:
            self.shown(image)
        return self._tiles[key]

    @cached_property
    def pages(self) -> tuple[Page, ...]:
        """Return the pages of summary sheet and report to print."""
        return pages_of(self.analysis.findings)

    def header(self, image: ImageFindings) -> Dataset:
        """Return the header of an image."""
        return self.by_uid[image.sop_instance_uid].dataset

    def headers(self) -> dict[str, Dataset]:
        """Return every header by SOP Instance UID."""
        return {uid: source.dataset for uid, source in self.by_uid.items()}

    def by_instance(self) -> dict[str, list[ImageFindings]]:
        """Return the analysed frames of each instance, in the order in which images are hung."""
        instances: dict[str, list[ImageFindings]] = {}
        for image in self.analysis.findings.analysed:
            instances.setdefault(image.sop_instance_uid, []).append(image)
        return instances

    def library(self) -> dict[str, Dataset]:
        """Return the headers that a report lists: what was read, and mammograms that were not.

        An image without a size, or whose header is not the patient's, is named in words only.
        """
        return {
            image.sop_instance_uid: self.header(image)
            for image in self.analysis.findings.images
            if image.status is ImageStatus.ANALYSED or self._is_mammogram(image)
        }

    @cached_property
    def _on_pages(self) -> frozenset[ImageKey]:
        if not any(self.profiles_with(kind) for kind in _ON_PAGES):
            return frozenset()
        return frozenset(key_of(image) for page in self.pages for image in images_on(page))

    def _is_mammogram(self, image: ImageFindings) -> bool:
        source = self.by_uid.get(image.sop_instance_uid)
        if source is None or not has_size(source.dataset):
            return False
        return image.status is ImageStatus.FAILED or source.dataset.get("Modality") == "MG"
