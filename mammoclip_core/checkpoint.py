"""A checkpoint from outside read as plain values and tensors: nothing in it is ever executed."""

import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mammoclip_core.errors import CheckpointError
from mammoclip_core.tensor_names import listed

_READING_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)
"""What torch's restricted reader is known to raise on damaged input: no common class."""


class StandIn:
    """Takes the place of a class that a checkpoint names: keeps what it is given, does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __new__(cls, *arguments: Any) -> "StandIn":
        """Make one, also where the reader does not call the constructor."""
        made = super().__new__(cls)
        made.arguments = arguments
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep the state unread."""
        self.state = state


STAND_INS: Final = (
    # The nested training configuration: plain dictionaries with a few OmegaConf lists left in.
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.int",
    "builtins.list",
    "__builtin__.dict",
    "__builtin__.list",
    "__builtin__.long",
    # Scores and predictions of fine-tuned models, under the names of NumPy 1 and 2.
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{package}.multiarray.{name}"
        for package in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
)
"""Names that a published file may hold; each is read as a `StandIn` and becomes a plain value."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save` whose top level is a dictionary, without running any of it.

    Tensors are mapped from the file and not copied; what is neither a tensor nor a plain value
    becomes one, or None.

    Raises
    ------
    CheckpointError
        The file is no such file, is truncated, or names anything beyond tensors and `STAND_INS`.
    """
    _check_container(path)
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        type(name.rpartition(".")[2], (StandIn,), {"__module__": name.rpartition(".")[0]})
        for name in STAND_INS
    ]
    with torch.serialization.safe_globals(stand_ins):
        try:
            unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            if unsafe:
                raise CheckpointError(
                    f"{path.name} is refused: it names code beyond tensors and plain values: "
                    f"{listed(unsafe)}"
                )
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except _READING_ERRORS as error:
            raise CheckpointError(
                f"{path.name} is refused: damaged, or more than tensors and plain values: "
                f"{_first_line(error)}"
            ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is no checkpoint: it holds no dictionary at its top")
    return {str(key): plain(value) for key, value in content.items()}


def plain(value: Any) -> Any:
    """Turn what was read into dictionaries, lists, numbers, words and tensors; else None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, StandIn):
        return _plain_stand_in(value)
    return value if isinstance(value, str | int | float | Tensor) else None


def tensors_of(content: Mapping[str, Any], key: str, origin: str) -> dict[str, Tensor]:
    """Return the state dictionary under a key, one leading ``module.`` of all its names removed.

    Raises
    ------
    CheckpointError
        There is no such dictionary, or it holds something else than plain tensors.
    """
    state = content.get(key)
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{origin} holds no tensors under {key!r}")
    odd = [
        str(name)
        for name, value in state.items()
        if type(value) is not Tensor or value.layout is not torch.strided or value.is_complex()
    ]
    if odd:
        raise CheckpointError(f"{origin}: not plain tensors: {listed(odd)}")
    prefix = "module."
    wrapped = all(name.startswith(prefix) for name in state)
    return {name.removeprefix(prefix) if wrapped else name: value for name, value in state.items()}


def _check_container(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(4)
    if zipfile.is_zipfile(path):
        return
    if start[:2] == b"PK":
        raise CheckpointError(f"{path.name} is truncated: its archive has no end")
    if start[:1] == b"\x80":
        raise CheckpointError(
            f"{path.name} is a bare pickle, which could run code when it is read: refused"
        )
    raise CheckpointError(f"{path.name} is no file of torch.save")


def _plain_stand_in(value: StandIn) -> Any:
    name = type(value).__name__
    state = value.state
    if name == "scalar":
        return _number(value)
    if not isinstance(state, Mapping):
        return None
    return plain(state["_content"] if "_content" in state else state.get("_val"))


def _number(value: StandIn) -> float | None:
    """Read a NumPy scalar of 8 bytes that its file stores as a data type and bytes."""
    if len(value.arguments) != 2:
        return None
    dtype, content = value.arguments
    words = dtype.arguments if isinstance(dtype, StandIn) else ()
    if isinstance(content, bytes) and len(content) == 8 and words[:1] == ("f8",):
        return float(struct.unpack("<d", content)[0])
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
