"""A plain picture of each answer: the image as it is shown, heatmap, outlines, scores, warning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.findings import Finding, Heatmap, ImageFindings, StudyAnalysis
from mammoclip_core.images.grayscale import to_display
from mammoclip_core.images.image_file import read_image

LONG_SIDE: Final = 1600
"""Pixels that a picture has at most along an edge, its banner aside."""

_HEAT_SHARE: Final = 0.4
_LINE_PIXELS: Final = 28
_COLORS: Final = ((60, 220, 255), (255, 200, 60), (120, 255, 120), (200, 120, 255))


def write_overlays(
    paths: Mapping[str, Path], analysis: StudyAnalysis, warning: str, folder: Path
) -> tuple[Path, ...]:
    """Write ``image-N.png`` for each analysed image, N its place in the findings document.

    Where findings are highest on different frames there is one picture a frame, with the frame's
    number in its name. The names are numbers: no UID from outside becomes part of a path.

    Parameters
    ----------
    paths : file of each SOP Instance UID
    warning : words of the bundle, on every picture

    Raises
    ------
    PixelError
        A file has changed since it was analysed.
    OSError
        A picture cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, image in enumerate(analysis.findings.images, start=1):
        if not image.findings:
            continue
        frames = sorted({image.frame, *(item.frame for item in image.findings if item.regions)})
        for frame in frames:
            picture = _picture(paths[image.sop_instance_uid], image, frame, analysis.heatmaps)
            suffix = f"-frame-{frame:04d}" if len(frames) > 1 else ""
            path = folder / f"image-{number:04d}{suffix}.png"
            shown = [item for item in image.findings if item.frame == frame]
            _, encoded = cv2.imencode(".png", _with_banner(picture, shown, warning))
            path.write_bytes(encoded.tobytes())
            written.append(path)
    return tuple(written)


def _picture(
    path: Path, image: ImageFindings, frame: int, heatmaps: tuple[Heatmap, ...]
) -> NDArray[np.uint8]:
    stored = read_image(path, frame)
    display = to_display(stored)
    rows, columns = display.shape
    # In square pixels, of which none is invented.
    aspect = stored.display.pixel_aspect
    height, width = rows * min(1.0, aspect), columns * min(1.0, 1.0 / aspect)
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(display, size, interpolation=cv2.INTER_AREA).astype(np.uint16, copy=False)
    picture = cv2.cvtColor((small >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR).astype(
        np.uint8, copy=False
    )
    factors = np.array([size[0] / columns, size[1] / rows])
    for heatmap in heatmaps:
        if (heatmap.sop_instance_uid, heatmap.frame) == (image.sop_instance_uid, frame):
            _blend(picture, heatmap, factors)
    for number, finding in enumerate(image.findings):
        for region in finding.regions if finding.frame == frame else ():
            outline = np.rint(np.array(region.outline) * factors).astype(np.int32)
            color = _COLORS[number % len(_COLORS)]
            thickness = 2 if region.above_threshold else 1
            cv2.polylines(picture, [outline], True, color, thickness, cv2.LINE_AA)
    return picture


def _blend(picture: NDArray[np.uint8], heatmap: Heatmap, factors: NDArray[Any]) -> None:
    """Lay a heatmap over its extent, the more opaque the higher it is."""
    corners = np.rint(np.array(heatmap.extent).reshape(2, 2) * factors).astype(int)
    (left, top), (right, bottom) = corners.tolist()
    if right <= left or bottom <= top:
        return
    heat = cv2.resize(heatmap.values, (right - left, bottom - top))
    heat = np.clip(heat, 0.0, 1.0)
    colors = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (heat * _HEAT_SHARE)[..., np.newaxis]
    part = picture[top:bottom, left:right]
    part[:] = np.rint(part * (1 - share) + colors * share).astype(np.uint8)


def _with_banner(
    picture: NDArray[np.uint8], findings: list[Finding], warning: str
) -> NDArray[np.uint8]:
    """Put the warning and one line a finding above the picture."""
    lines = [(warning or "Research use only: not a medical device", (80, 80, 255))]
    for number, finding in enumerate(findings):
        kind = "probability" if finding.calibrated else "score"
        mark = " *" if finding.above_threshold else ""
        text = f"{finding.name} {kind} {finding.score:.3f}{mark}"
        lines.append((text, _COLORS[number % len(_COLORS)]))
    width = max(picture.shape[1], 640)
    whole = np.zeros((_LINE_PIXELS * (len(lines) + 1) + picture.shape[0], width, 3), np.uint8)
    whole[-picture.shape[0] :, : picture.shape[1]] = picture
    for number, (text, color) in enumerate(lines, start=1):
        plain = text.encode("ascii", "replace").decode()
        fitting = min(0.6, 0.6 * width / max(1, 11 * len(plain)))
        place = (8, number * _LINE_PIXELS)
        cv2.putText(whole, plain, place, cv2.FONT_HERSHEY_SIMPLEX, fitting, color, 1, cv2.LINE_AA)
    return whole
