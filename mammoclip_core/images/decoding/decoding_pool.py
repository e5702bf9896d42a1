"""A few child processes that decode images: one that dies costs one image, and is replaced."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from mammoclip_core.errors import ComputingError, PixelError
from mammoclip_core.images.decoding.decoding_process import (
    DECODING_CHILD,
    DecoderEndedError,
    DecodingProcess,
)
from mammoclip_core.images.decoding.image_memory import ImageMemory
from mammoclip_core.images.stored_image import StoredImage

DEFAULT_PROCESSES: Final = 2
DOUBTS_OF_AN_IMAGE: Final = 3
IMAGES_OF_A_PROCESS: Final = 1000
"""After so many images a process is replaced, whatever its libraries have kept of them."""


class DecodingPool:
    """Reads images in child processes, which start when they are needed and serve many images.

    Threads may read at the same time; more than there are processes wait. An image at which its
    process ends is read once more, by a new one and while no other is read; if that ends too, the
    image cannot be read, unless the machine may be the cause.

    Parameters
    ----------
    processes : 1 or more
    longest_seconds : that one image may take, whatever its size
    doubts : how often an image is doubted to be the cause before it counts as one that cannot be
        read, where the system may have killed its processes or a drive may hang: 0 for whoever
        does not read it again later. It counts only if another image was read after each doubt
    note : is told how a process ended
    program : command line of a process
    """

    def __init__(
        self,
        processes: int = DEFAULT_PROCESSES,
        *,
        longest_seconds: float = math.inf,
        doubts: int = DOUBTS_OF_AN_IMAGE,
        note: Callable[[str], object] = str,
        program: Sequence[str] = DECODING_CHILD,
    ) -> None:
        self._processes = processes
        self._longest_seconds = longest_seconds
        self._doubts = doubts
        self._note = note
        self._program = program
        self._memory = ImageMemory()
        self._idle: list[DecodingProcess] = []
        self._busy = 0
        self._waiting_to_be_alone = 0
        self._images_read = 0
        self._doubted: dict[tuple[Path, int], tuple[int, int]] = {}
        """Of each image: how often it was doubted, and how many had been read at the last time."""
        self._changed = threading.Condition()

    def read_image(self, path: Path, frame: int = 1) -> StoredImage:
        """Read the stored values of a DICOM file's frame or of a picture; they cannot be written.

        Raises
        ------
        PixelError
            As `mammoclip_core.images.image_file.read_image`; also if reading it ends two
            processes or takes more memory or time than any image of its size.
        ComputingError
            No process starts, or what ended two of them may be the machine.
        OSError
            The system cannot start another process.
        """
        try:
            return self._read(path, frame, alone=False)
        except DecoderEndedError as error:
            self._note(str(error))
        try:
            return self._read(path, frame, alone=True)
        except DecoderEndedError as error:
            self._note(str(error))
            if error.doubt and self._is_doubted(path, frame):
                raise ComputingError(error.doubt) from error
            raise PixelError(
                f"{path.name}: the image crashes its decoder, or takes more memory or time "
                f"than any image of its size ({error}, twice)"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that read nothing, and free the memory of images."""
        self._memory.close()
        with self._changed:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def _read(self, path: Path, frame: int, *, alone: bool) -> StoredImage:
        with self._turn(alone=alone):
            if alone:
                self.close()
            process = self._taken() or DecodingProcess(self._memory, self._program)
            try:
                image = process.read(path, frame, self._longest_seconds)
            finally:
                self._give_back(process)
        with self._changed:
            self._images_read += 1
            self._doubted.pop((path, frame), None)
        return image

    def _is_doubted(self, path: Path, frame: int) -> bool:
        """Doubt that an image ended its processes; False once it did so often between others."""
        with self._changed:
            times, read_then = self._doubted.pop((path, frame), (0, -1))
            times += self._images_read > read_then
            if times > self._doubts:
                return False
            self._doubted[path, frame] = times, self._images_read
            return True

    def _taken(self) -> DecodingProcess | None:
        with self._changed:
            return self._idle.pop() if self._idle else None

    def _give_back(self, process: DecodingProcess) -> None:
        if process.images >= IMAGES_OF_A_PROCESS:
            process.close()
        if process.close.alive:
            with self._changed:
                self._idle.append(process)

    @contextmanager
    def _turn(self, *, alone: bool) -> Iterator[None]:
        """Wait until a process is free, or all of them."""
        places = self._processes if alone else 1
        with self._changed:
            self._waiting_to_be_alone += alone
            self._changed.wait_for(
                lambda: (
                    self._busy + places <= self._processes
                    and (alone or not self._waiting_to_be_alone)
                )
            )
            self._waiting_to_be_alone -= alone
            self._busy += places
        try:
            yield
        finally:
            with self._changed:
                self._busy -= places
                self._changed.notify_all()
