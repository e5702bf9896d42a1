"""Decoding in a child process: what it costs beside decoding in the process itself."""

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import imagecodecs
import numpy as np
import typer
from numpy.typing import NDArray
from parts.report import Report, Row, machine, show
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    generate_uid,
)

from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing

FULL_SIZE = (3328, 2560)
QUICK_SIZE = (832, 640)
STREAM = 8
"""Images that two threads read and prepare in the rows of a stream."""

PREPROCESSING = Preprocessing(mode="published", rows=1520, columns=912, mean=0.3, std=0.25)
ENCODERS: Mapping[str, tuple[UID, Callable[[NDArray[Any]], bytes] | None]] = {
    "not compressed": (ExplicitVRLittleEndian, None),
    "JPEG lossless": (
        JPEGLosslessSV1,
        lambda image: imagecodecs.jpeg8_encode(image, lossless=True, bitspersample=12),
    ),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda image: imagecodecs.jpeg2k_encode(
            image, level=0, codecformat="j2k", bitspersample=12
        ),
    ),
}

Read = Callable[[Path, int], StoredImage]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved; the median is shown.")] = 9,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small images, one round; figures mean nothing.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Read an image of 17 MB in this process and in a child, then eight of them on two threads.

    What is read is summed, so that its memory is touched. Processor time is that of all processes,
    which a busy machine changes less.

    Example: python benchmarks/decoding.py --json decoding.json
    """
    rounds = 1 if quick else rounds
    image = breast(*(QUICK_SIZE if quick else FULL_SIZE))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, DecodingPool() as pool:
        for name, (syntax, encode) in ENCODERS.items():
            file = written(Path(folder) / f"{name}.dcm", image, syntax, encode)
            for read in (read_image, pool.read_image):
                stream(read, file)
            rows.append(compared(f"one image, {name}", one, file, pool, rounds))
            rows.append(
                compared(
                    f"{STREAM} images read and prepared on two threads, {name}",
                    stream,
                    file,
                    pool,
                    max(rounds // 3, 1),
                )
            )
    report = Report(
        benchmark="decoding",
        rows=rows,
        conditions={**machine(), "rounds": rounds, "bytes": image.nbytes},
    )
    show([report])
    if json is not None:
        report.write(json)


def breast(rows: int, columns: int) -> NDArray[np.uint16]:
    """Return a half ellipse with 4 bits of noise, on a background that has none."""
    row, column = np.mgrid[0:rows, 0:columns].astype(np.float32)
    inside = (column / (0.8 * columns)) ** 2 + ((row - rows / 2) / (0.45 * rows)) ** 2 < 1
    noise = np.random.default_rng(0).integers(0, 16, (rows, columns))
    return np.where(inside, 1000 + column / 4 + noise, 0).astype(np.uint16)


def written(
    path: Path, image: NDArray[Any], syntax: UID, encode: Callable[[NDArray[Any]], bytes] | None
) -> Path:
    """Write a mammogram in a transfer syntax."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["benchmark", path.name])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = image.tobytes() if encode is None else encapsulate([encode(image)])
    dataset["PixelData"].VR = "OW" if encode is None else "OB"
    dataset["PixelData"].is_undefined_length = encode is not None
    dataset.save_as(path, enforce_file_format=True)
    return path


def one(read: Read, file: Path) -> None:
    """Read an image and look at all of it."""
    read(file, 1).values.max()


def stream(read: Read, file: Path) -> None:
    """Read and prepare images as the engine does."""
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: prepare(read(file, 1), PREPROCESSING), range(STREAM)))


def compared(
    measure: str, work: Callable[[Read, Path], None], file: Path, pool: DecodingPool, rounds: int
) -> Row:
    """Measure some work with images read in a child and in this process, in turn."""
    children, own = [], []
    for _ in range(rounds):
        for read, seconds in ((pool.read_image, children), (read_image, own)):
            start, processor = time.perf_counter(), processor_seconds()
            work(read, file)
            seconds.append((time.perf_counter() - start, processor_seconds() - processor))
    ours, theirs = (median(wall for wall, _ in one) for one in (children, own))
    busy, own_busy = (median(used for _, used in one) for one in (children, own))
    return Row(
        measure=measure,
        unit="ms",
        ours=1000 * ours,
        against="in the process itself",
        theirs=1000 * theirs,
        ratio=ours / theirs,
        details={
            "least, ms": [round(1000 * min(one)[0], 1) for one in (children, own)],
            "processor, ms": [round(1000 * busy), round(1000 * own_busy)],
        },
    )


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it has started."""
    children = [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    nanoseconds = sum(
        int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in children
    )
    return time.process_time() + nanoseconds / 1e9


if __name__ == "__main__":
    typer.run(main)
