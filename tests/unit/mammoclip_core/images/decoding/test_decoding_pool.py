"""A codec that crashes, hangs or eats memory costs its image, and nothing beside it."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from core_factory import breast, encapsulated, mammogram, save
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
)

from mammoclip_core.errors import ComputingError, PixelError
from mammoclip_core.images.decoding.decoding_effort import decoding_effort
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.decoding.decoding_process import DECODING_CHILD
from mammoclip_core.images.image_file import read_image

IMAGE = breast()
LONG = pytest.mark.long
Pools = Callable[..., DecodingPool]


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    pool = DecodingPool()
    yield pool
    pool.close()


def run_program(program: str, file: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", program, str(file)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("segfault", f"signal {signal.SIGSEGV.value}, twice"),
        ("abort", f"signal {signal.SIGABRT.value}, twice"),
        pytest.param("be killed", f"signal {signal.SIGKILL.value}, twice", marks=LONG),
        pytest.param("exit", "exit status 3, twice", marks=LONG),
        ("compute", "too much processor time, twice"),
        ("eat memory", "MemoryError"),
        ("raise", "ZeroDivisionError"),
    ],
)
def test_bad_codec_costs_its_image_with_the_reason(
    pool_whose_codec: Pools, poison: Path, healthy: Path, deed: str, words: str
) -> None:
    pool = pool_whose_codec(deed)

    with pytest.raises(PixelError, match=words):
        pool.read_image(poison)

    assert np.array_equal(pool.read_image(healthy).values, IMAGE)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("deed", ["hang", pytest.param("stop", marks=LONG)])
def test_codec_without_end_is_ended(
    pool_whose_codec: Pools, poison: Path, healthy: Path, deed: str
) -> None:
    pool = pool_whose_codec(deed)

    with pytest.raises(PixelError, match=r"more than 1 s, twice"):
        pool.read_image(poison)

    assert np.array_equal(pool.read_image(healthy).values, IMAGE)


@pytest.mark.parametrize("deed", ["segfault", "be killed"])
def test_process_that_ends_once_costs_nothing(
    pool_whose_codec: Pools, poison: Path, tmp_path: Path, notes: list[str], deed: str
) -> None:
    pool = pool_whose_codec(deed, tmp_path / "done")

    assert np.array_equal(pool.read_image(poison).values, IMAGE)
    assert len(notes) == 1


def test_other_images_are_read_while_one_breaks_its_process(
    pool_whose_codec: Pools, poison: Path, healthy: Path
) -> None:
    pool = pool_whose_codec("abort", processes=2)

    def read(path: Path) -> str:
        try:
            return str(pool.read_image(path).values.shape)
        except PixelError:
            return "failed"

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(read, [healthy, poison, healthy, poison, healthy, healthy]))

    assert outcomes == ["failed" if number in {1, 3} else str(IMAGE.shape) for number in range(6)]


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def style(exponent: int) -> bytes:
    precincts = bytes((exponent << 4 | exponent,)) * 6
    return segment(0x52, bytes((1, 0, 0, 1, 0, 5, 4, 4, 0, 1)) + precincts)


def bomb(side: int) -> bytes:
    """Return a JPEG 2000 codestream whose tile-part alone asks for tiny precincts."""
    size = b"".join(number.to_bytes(4, "big") for number in (side, side, 0, 0) * 2)
    main = segment(0x51, b"\0\0" + size + b"\0\1" + bytes((11, 1, 1))) + style(15)
    main += segment(0x5C, bytes((0x40,)) * 17)
    tile = style(1) + b"\xff\x93" + bytes(1000)
    start = segment(0x90, b"\0\0" + (12 + len(tile)).to_bytes(4, "big") + b"\0\1")
    return b"\xff\x4f" + main + start + tile + b"\xff\xd9"


def test_bomb_that_its_main_header_hides_takes_the_memory_of_an_image(tmp_path: Path) -> None:
    side = 4096
    pixels = np.broadcast_to(np.uint16(0), (side, side))
    path = encapsulated(tmp_path / "bomb.dcm", pixels, JPEG2000Lossless, bomb(side))
    pool = DecodingPool(1)

    with pytest.raises(PixelError):
        pool.read_image(path)

    (process,) = pool._idle
    status = Path(f"/proc/{process._child.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    effort = decoding_effort(side * side, len(bomb(side)))
    assert int(peak.split()[1]) * 1024 < 2**27 + effort.memory_bytes < 2**30
    pool.close()


def with_a_table(path: Path) -> Path:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = np.arange(4096, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    return save(mammogram(IMAGE, VOILUTSequence=[table], PixelPaddingValue=3), path)


def with_a_window(path: Path) -> Path:
    return save(
        mammogram(IMAGE.astype(np.int16), WindowCenter=7.5, WindowWidth=9, RescaleIntercept=-3),
        path,
    )


def picture(path: Path) -> Path:
    path = path.with_suffix(".png")
    Image.fromarray(IMAGE.astype(np.uint16)).save(path)
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "plain": lambda path: save(mammogram(IMAGE), path),
    "table": with_a_table,
    "window": with_a_window,
    "picture": picture,
    "odd bytes": lambda path: save(
        mammogram(np.arange(81 * 65, dtype=np.uint8).reshape(81, 65), PixelData=bytes(81 * 65 + 1)),
        path,
    ),
    "JPEG 2000": lambda path: encapsulated(
        path, IMAGE, JPEG2000Lossless, imagecodecs.jpeg2k_encode(IMAGE, level=0, codecformat="j2k")
    ),
    "JPEG": lambda path: encapsulated(
        path,
        IMAGE,
        JPEGLosslessSV1,
        imagecodecs.jpeg8_encode(IMAGE, lossless=True, bitspersample=12),
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_child_reads_what_this_process_reads(pool: DecodingPool, tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path / "a.dcm")
    expected, read = read_image(path), pool.read_image(path)

    assert np.array_equal(read.values, expected.values)
    assert read.values.dtype == expected.values.dtype
    for name in expected.__slots__:
        if name not in {"values", "display"}:
            assert getattr(read, name) == getattr(expected, name)
    for name in expected.display.__slots__:
        one, other = getattr(read.display, name), getattr(expected.display, name)
        if name.endswith("table") and other is not None:
            assert (one.first, one.bits) == (other.first, other.bits)
            assert np.array_equal(one.entries, other.entries)
        else:
            assert one == other


@pytest.mark.parametrize("kind", ["absent", "no image", "truncated"])
def test_unreadable_file_fails_with_the_words_of_this_process(
    pool: DecodingPool, healthy: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a.dcm"
    if kind != "absent":
        path.write_bytes(b"text" if kind == "no image" else healthy.read_bytes()[:-100])
    with pytest.raises(PixelError) as expected:
        read_image(path)

    with pytest.raises(PixelError) as told:
        pool.read_image(path)

    assert str(told.value) == str(expected.value)


def test_memory_of_images_that_are_shown_is_not_used_for_others(
    pool: DecodingPool, tmp_path: Path
) -> None:
    images = [np.full((80, 90), number, np.uint16) for number in range(5)]
    paths = [
        save(mammogram(image), tmp_path / f"{number}.dcm") for number, image in enumerate(images)
    ]

    kept = [pool.read_image(path) for path in paths]
    del kept[2]
    gc.collect()
    kept.insert(2, pool.read_image(paths[2]))

    for image, read in zip(images, kept, strict=True):
        assert np.array_equal(read.values, image)


def test_images_cannot_be_written(pool: DecodingPool, healthy: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        pool.read_image(healthy).values[0, 0] = 1


def test_idle_process_that_was_killed_is_replaced(healthy: Path) -> None:
    pool = DecodingPool(1)
    pool.read_image(healthy)
    (process,) = pool._idle
    os.kill(process._child.pid, signal.SIGKILL)
    process._child.wait()

    assert np.array_equal(pool.read_image(healthy).values, IMAGE)
    pool.close()


def test_process_that_does_not_start_is_the_fault_of_no_image(healthy: Path) -> None:
    pool = DecodingPool(program=[sys.executable, "-c", "raise SystemExit(4)"])

    with pytest.raises(ComputingError, match="does not start: it ended with exit status 4"):
        pool.read_image(healthy)


def test_signals_for_all_processes_of_a_service_end_no_decoding(
    pool: DecodingPool, healthy: Path
) -> None:
    pool.read_image(healthy)
    before = [process._child.pid for process in pool._idle]
    for process in before:
        os.kill(process, signal.SIGTERM)
        os.kill(process, signal.SIGINT)

    assert np.array_equal(pool.read_image(healthy).values, IMAGE)
    assert [process._child.pid for process in pool._idle] == before


def test_copy_of_the_process_that_started_them_ends_no_processes(healthy: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from mammoclip_core.images.decoding.decoding_pool import DecodingPool\n"
        "pool = DecodingPool()\n"
        "pool.read_image(Path(sys.argv[1]))\n"
        "if os.fork() == 0:\n"
        "    pool.close()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(pool._idle[0]._child.poll())\n"
    )

    done = run_program(program, healthy)

    assert done.stdout == b"None\n"


def test_processes_end_with_the_one_that_started_them(healthy: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from mammoclip_core.images.decoding.decoding_pool import DecodingPool\n"
        "pool = DecodingPool()\n"
        "pool.read_image(Path(sys.argv[1]))\n"
        "print(*(one._child.pid for one in pool._idle), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = run_program(program, healthy)
    (process,) = map(int, done.stdout.split())

    # It is nobody's child any more: its end is seen by its number alone.
    for _ in range(1000):
        if not is_running(process):
            break
        signal.sigtimedwait([], 0.02)
    assert not is_running(process)


def test_limits_of_the_site_are_kept(healthy: Path) -> None:
    program = (
        "import os, resource, sys\n"
        "for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU):\n"
        "    resource.setrlimit(kind, (8_000_000_000, 8_000_000_000))\n"
        f"os.execv(sys.executable, [*{list(DECODING_CHILD)!r}, sys.argv[1]])\n"
    )
    pool = DecodingPool(1, program=[sys.executable, "-c", program])
    pool.read_image(healthy)
    (process,) = pool._idle

    limits = Path(f"/proc/{process._child.pid}/limits").read_text()

    hard = {line[:26].strip(): line[47:67].strip() for line in limits.splitlines()}
    assert (hard["Max address space"], hard["Max cpu time"]) == ("8000000000", "8000000000")
    pool.close()


def test_environment_of_the_child_holds_no_secret_of_ours(
    monkeypatch: pytest.MonkeyPatch, healthy: Path
) -> None:
    monkeypatch.setenv("MAMMOCLIP_BROKER__URL", "redis://:secret@broker/0")
    pool = DecodingPool(1)
    pool.read_image(healthy)
    (process,) = pool._idle

    environment = Path(f"/proc/{process._child.pid}/environ").read_bytes()

    assert b"redis" not in environment
    pool.close()
