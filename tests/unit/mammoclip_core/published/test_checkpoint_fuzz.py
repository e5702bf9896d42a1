"""Whatever a checkpoint holds, its reader gives values or a declared error, and runs nothing."""

import os
import pickle
import resource
import warnings
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import (
    classifier_state,
    configuration,
    pretraining_state,
    tokenizer,
    vocabulary_size,
    write_classifier,
    write_pretraining,
)
from core_factory import manifest_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from mammoclip_core.errors import CheckpointError, CoreError
from mammoclip_core.manifest import EncoderEntry
from mammoclip_core.networks.mammo_factor import factor_shapes
from mammoclip_core.published.checkpoint import read_checkpoint, tensors_of
from mammoclip_core.published.convert import convert
from mammoclip_core.published.factor_file import read_factor

MOST_KILOBYTES = 400_000
"""What all examples together may add to this process: no example asks for much."""

RUN: list[str] = []


class Runs:
    """Leaves a mark when a reader runs what a pickle says."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RUN.append, ("run",)


class Makes:
    """Makes a folder when a reader runs what a pickle says."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES
    assert RUN == []


def archive_of(index: bytes) -> bytes:
    """Return what torch.save writes, with another index."""
    written = BytesIO()
    torch.save({"model": {"a": torch.ones(1000)}, "score": np.float64(0.5)}, written)
    changed = BytesIO()
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = index if name.endswith("/data.pkl") else source.read(name)
            target.writestr(name, content)
    return changed.getvalue()


def index_of(content: Any) -> bytes:
    written = BytesIO()
    torch.save(content, written)
    with zipfile.ZipFile(written) as source:
        name = next(name for name in source.namelist() if name.endswith("/data.pkl"))
        return source.read(name)


def outcome(path: Path, content: bytes) -> dict[str, Any] | None:
    """Read a file; None stands for the declared error."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = read_checkpoint(path)
            tensors_of(read, "model", "x")
        except CheckpointError:
            return None
    return read


NAMES = [
    *("collections OrderedDict", "torch FloatStorage", "torch._utils _rebuild_tensor_v2"),
    *("builtins bytearray", "builtins eval", "os system", "torch.storage UntypedStorage"),
    *("_codecs encode", "omegaconf.listconfig ListConfig", "numpy dtype", "__builtin__ dict"),
    *("torch._utils _rebuild_parameter", "collections Counter", "torch Tensor"),
]
NUMBERS = [0, 1, 2, 3, 1000, 2_000_000_000]
INSTRUCTIONS = st.one_of(
    st.sampled_from(NAMES).map(lambda name: b"c" + name.replace(" ", "\n").encode() + b"\n"),
    st.sampled_from(NUMBERS).map(lambda number: b"J" + number.to_bytes(4, "little")),
    st.sampled_from(["model", "a", "storage", "cpu", "0", "hex", "latin1"]).map(
        lambda text: b"X" + len(text).to_bytes(4, "little") + text.encode()
    ),
    st.integers(0, 5).map(lambda number: b"q" + bytes([number])),
    st.integers(0, 5).map(lambda number: b"h" + bytes([number])),
    st.sampled_from([b"(", b"t", b"\x85", b"\x86", b"\x87", b")", b"}", b"]", b"N", b"\x88"]),
    st.sampled_from([b"R", b"b", b"\x81", b"s", b"u", b"a", b"e", b"Q", b"0", b"\x93", b"l", b"d"]),
)


@settings(max_examples=300, deadline=None)
@given(instructions=st.lists(INSTRUCTIONS, max_size=40))
def test_any_instructions_give_values_or_a_declared_error(
    instructions: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "instructions.tar"

    outcome(path, archive_of(b"\x80\x02" + b"".join(instructions) + b"."))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_altered_index_gives_values_or_a_declared_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "altered.tar"
    index = bytearray(
        index_of({"model": {"a": torch.ones(1000)}, "s": np.float64(1), "c": configuration()})
    )
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(index) - 1))
        cut = data.draw(st.integers(0, 3))
        index[place : place + cut] = data.draw(st.binary(max_size=4))

    outcome(path, archive_of(bytes(index)))


def billion_laughs() -> bytes:
    inner: list[Any] = [1]
    for _ in range(60):
        inner = [inner, inner]
    return index_of({"model": {"a": torch.ones(1000)}, "config": inner})


def holding_itself() -> bytes:
    loop: list[Any] = []
    loop.append(loop)
    return index_of({"model": {"a": torch.ones(1000)}, "config": loop})


def repeated_bytes() -> bytes:
    return index_of({"model": {"a": torch.ones(1).expand(40_000, 40_000)}})


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def growing() -> bytes:
    step = b"c_codecs\nencode\nh\x00X\x03\x00\x00\x00hex\x86Rq\x00"
    return b"\x80\x02U\x04abcdq\x00" + step * 40 + b"."


@pytest.mark.parametrize(
    "index",
    [
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02ctorch.storage\nUntypedStorage\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02ctorch\nTensor\nJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86R.",
        growing(),
        nested(100_000),
        repeated_bytes(),
    ],
    ids=["bytearray", "storage", "tensor", "codec", "nested", "repeated"],
)
def test_what_asks_for_much_memory_is_refused(index: bytes, tmp_path: Path) -> None:
    assert outcome(tmp_path / "x.tar", archive_of(index)) is None


@pytest.mark.parametrize("index", [billion_laughs(), holding_itself()])
def test_value_in_many_places_is_read_once(index: bytes, tmp_path: Path) -> None:
    read = outcome(tmp_path / "x.tar", archive_of(index))

    assert read is not None
    assert read["config"] is not None


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_code_is_never_run(tmp_path: Path, protocol: int) -> None:
    for runs in (Runs(), Makes(tmp_path / "made")):
        index = pickle.dumps({"model": {}, "x": runs}, protocol)

        assert outcome(tmp_path / "x.tar", archive_of(index)) is None

    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("change", ["compressed", "two indices", "one name twice"])
def test_archive_that_torch_does_not_write_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "x.tar"
    index = index_of({"model": {"a": torch.ones(1000)}})
    path.write_bytes(archive_of(index))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            if change == "compressed":
                archive.writestr("archive/more", bytes(10**6), zipfile.ZIP_DEFLATED)
            else:
                first = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                archive.writestr("other/data.pkl" if change == "two indices" else first, index)

    with pytest.raises(CheckpointError, match="refused"):
        read_checkpoint(path)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer(tmp_path_factory.mktemp("words") / "tokenizer")


SHAPES: list[Callable[[torch.Tensor], Any]] = [
    lambda value: value.reshape(-1)[:1],
    lambda value: value[None],
    lambda value: value.double(),
    lambda value: value.to(torch.uint8),
    lambda value: torch.full_like(value, torch.nan) if value.is_floating_point() else value,
    lambda value: torch.zeros(0),
    lambda value: 3,
    lambda value: None,
]
NONSENSE = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(), st.text(max_size=5)
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_to_a_model_converts_or_is_a_declared_error(
    data: st.DataObject, words: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    state: dict[Any, Any] = dict(pretraining_state(vocabulary_size(words)))
    config = configuration()
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(map(str, state))))
        kind = data.draw(st.sampled_from(["value", "name", "gone", "config"]))
        if kind == "value" and name in state and isinstance(state[name], torch.Tensor):
            state[name] = data.draw(st.sampled_from(SHAPES))(state[name])
        elif kind == "name":
            number = data.draw(st.sampled_from(["7", "99999999999", "x", ""]))
            state[name.replace(".1.", f".{number}.")] = state.pop(name, None)
        elif kind == "gone":
            state.pop(name, None)
        else:
            section = data.draw(st.sampled_from(["base", "model"]))
            key = data.draw(st.sampled_from(sorted(config[section])))
            config[section][key] = data.draw(NONSENSE)

    try:
        convert(
            write_pretraining(folder / "checkpoint.tar", state, config), str(words), folder / "b"
        )
    except CoreError as error:
        assert str(error)


@pytest.mark.parametrize("key", [3, ("a", "b"), None])
def test_tensor_without_a_name_is_refused(words: Path, tmp_path: Path, key: Any) -> None:
    state: dict[Any, Any] = {**pretraining_state(vocabulary_size(words)), key: torch.zeros(1)}
    path = write_pretraining(tmp_path / "checkpoint.tar", state)

    with pytest.raises(CheckpointError, match="not plain tensors"):
        convert(path, str(words), tmp_path / "bundle")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_altered_safetensors_give_weights_or_a_declared_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "factor.safetensors"
    manifest = manifest_with(
        encoders=(EncoderEntry(name="image", architecture="tf_efficientnet_b0", padding="dynamic"),)
    )
    tensors = {
        f"factor.mass.{name}": torch.zeros(shape) for name, shape in factor_shapes(4, 8).items()
    }
    content = bytearray(save(tensors))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, min(len(content) - 1, 600)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content)

    try:
        read_factor(path, manifest)
    except CheckpointError:
        return


def test_classifier_cut_short_anywhere_is_a_declared_error(tmp_path: Path) -> None:
    whole = write_classifier(tmp_path / "head.pth", classifier_state()).read_bytes()
    path = tmp_path / "cut.pth"
    for share in range(0, 100, 7):
        path.write_bytes(whole[: len(whole) * share // 100])

        with pytest.raises(CheckpointError):
            read_checkpoint(path)
