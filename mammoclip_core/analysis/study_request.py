"""What an engine is asked: the images of one study, and those left out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mammoclip_core.findings import ImageFindings
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.images.tomosynthesis import Tomosynthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageToAnalyse:
    """One frame of one instance that the model is to be shown.

    Attributes
    ----------
    laterality : ``L``, ``R``, ``B`` or empty
    view_position : as (0018,5101); empty if unknown
    remark : words
        Handed on as the reason of an analysed image: what is unusual about it.
    frame : 1 or more
    """

    sop_instance_uid: str
    path: Path
    laterality: str = ""
    view_position: str = ""
    remark: str = ""
    frame: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """The images of one study to analyse, and those left out.

    Attributes
    ----------
    left_out : tuple of ImageFindings
        Handed on unchanged, behind the images.
    tomosynthesis : how the frames among the images were chosen
        Part of the digest of the settings.
    thresholds : of findings by name, in place of the bundle's; part of the digest of the settings
    on_decoded : called on threads with each image and its stored values, for who needs them too
    on_stage : called with ``decoding``, ``inference`` or ``interpretation`` when the engine goes on
        to it, or waits for it; of a stream of studies each time for all that are under way
    """

    study_instance_uid: str
    images: tuple[ImageToAnalyse, ...]
    left_out: tuple[ImageFindings, ...] = ()
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE
    thresholds: Mapping[str, float] = field(default_factory=dict)
    on_decoded: Callable[[ImageToAnalyse, StoredImage], object] | None = None
    on_stage: Callable[[str], object] | None = None
