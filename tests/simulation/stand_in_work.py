"""What takes no part in any race, done in little time: headers, the model, the result objects.

Headers are read by the product's own function, once for each content. The model and the builders
are functions of what they are given; here they are shorter ones.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from schedule import Schedule
from unit.dicom_node.node_factory import encoded, mammogram
from unit.worker.worker_factory import StandInEngine, stand_in_manifest

from dicom_node.facts.image_comparison import likeness_of
from dicom_node.facts.instance import Reading, read_header
from dicom_node.facts.likeness import Likeness
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import ResultObject
from dicom_node.objects.products import Profile
from mammoclip_core.analysis.engine import StudyRequest
from mammoclip_core.findings import StudyAnalysis

__all__ = [
    "KINDS",
    "MANIFEST",
    "Headers",
    "Image",
    "Thinking",
    "built",
    "content_of",
    "image_of",
    "likeness",
    "written",
]

MANIFEST = stand_in_manifest()
KINDS = (ResultKind.MEASUREMENT_REPORT, ResultKind.SEGMENTATION)
"""What each archive is sent of each study."""

VIEWS = (("CC", "R"), ("MLO", "R"), ("CC", "L"), ("MLO", "L"))


@dataclass(frozen=True)
class Image:
    """One image of a study, as a scanner sends it."""

    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@cache
def image_of(study: int, number: int, *, is_corrected: bool = False) -> Image:
    """Return an image of a study, always the same one; a corrected one names the patient anew."""
    view, laterality = VIEWS[number % len(VIEWS)]
    study_uid = f"1.2.826.0.1.3680043.8.498.{study}"
    dataset = mammogram(
        view,
        laterality,
        StudyInstanceUID=study_uid,
        SeriesInstanceUID=f"{study_uid}.1",
        SOPInstanceUID=f"{study_uid}.1.{number}",
        PatientID=f"P{study}" + ("-CORRECTED" if is_corrected else ""),
    )
    return Image(study_uid, str(dataset.SOPInstanceUID), str(dataset.SOPClassUID), encoded(dataset))


class Headers:
    """Stands for the process that reads headers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Reading] = {}

    def begin(self, file: Path, **how: Any) -> Callable[[], Reading | None]:
        return partial(self._read, file, how)

    def close(self) -> None:
        """Nothing was started."""

    def _read(self, file: Path, how: dict[str, Any]) -> Reading | None:
        content = file.read_bytes()
        if content not in self._known:
            self._known[content] = read_header(file, **how)
        return self._known[content]


_COMPARED: dict[tuple[bytes, bytes], Likeness] = {}


def likeness(kept: Path | None, new: Path) -> Likeness:
    """Compare two copies by the product's own function, once for each two contents."""
    contents = (b"" if kept is None else kept.read_bytes(), new.read_bytes())
    if contents not in _COMPARED:
        _COMPARED[contents] = likeness_of(kept, new)
    return _COMPARED[contents]


class Thinking(StandInEngine):
    """An engine that takes its time."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def analyze(self, request: StudyRequest) -> StudyAnalysis:
        self._schedule.sleep(self._schedule.random.choice((0.1, 1.0, 12.0)))
        return super().analyze(request)


class RememberedHeaders:
    """Stands for the files of one study: a header is read once for each content."""

    def __init__(self, *_: Any) -> None:
        self._seen: dict[Path, Dataset] = {}

    def header(self, path: Path) -> Dataset:
        return _header(path.read_bytes())

    def keep(self, *_: Any) -> None:
        """Nothing is drawn."""

    def shown(self, *_: Any) -> Any:
        return np.zeros((4, 4), dtype=np.uint16)


@cache
def _header(content: bytes) -> Dataset:
    return dcmread(BytesIO(content), stop_before_pixels=True)


@dataclass(frozen=True)
class Built:
    """A result object: what it says, and a UID that follows from it."""

    content: bytes

    @property
    def SOPInstanceUID(self) -> str:  # noqa: N802  as pydicom spells it
        return f"2.25.{int.from_bytes(hashlib.sha256(self.content).digest()[:8], 'big')}"

    @property
    def SOPClassUID(self) -> str:  # noqa: N802
        return "1.2.840.10008.5.1.4.1.1.88.33"

    @property
    def SeriesInstanceUID(self) -> str:  # noqa: N802
        return "2.25.1"


def built(
    sources: Sequence[Any], *_: Any, profiles: Sequence[Profile], **__: Any
) -> Iterator[ResultObject]:
    """Build one object of each kind, whose content names every image and whose it is."""
    names = [f"{one.dataset.SOPInstanceUID} {one.dataset.PatientID}" for one in sources]
    for product in sorted(profiles[0].products, key=lambda one: one.kind):
        yield ResultObject(product=product, dataset=Built(content_of(product.kind, names)))


def content_of(kind: ResultKind, names: Iterable[str]) -> bytes:
    """Return what a result of some images says."""
    return "\n".join([kind.value, *sorted(names)]).encode()


def written(dataset: Any, buffer: BytesIO) -> None:
    """Write a result object."""
    buffer.write(dataset.content)
