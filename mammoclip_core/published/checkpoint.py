"""A checkpoint from outside read as plain values and tensors: nothing in it is ever executed."""

import pickle
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mammoclip_core.bundles.tensor_names import listed
from mammoclip_core.errors import CheckpointError
from mammoclip_core.published.checkpoint_archive import check_container

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
        The file is not such a file, is truncated, or names anything beyond tensors and `STAND_INS`.
    """
    check_container(path, STAND_INS)
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        type(name.rpartition(".")[2], (StandIn,), {"__module__": name.rpartition(".")[0]})
        for name in STAND_INS
    ]
    with torch.serialization.safe_globals(stand_ins):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except _READING_ERRORS as error:
            raise CheckpointError(
                f"{path.name} is refused: damaged, or more than tensors and plain values: "
                f"{_first_line(error)}"
            ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is not a checkpoint: its top level is not a dictionary")
    try:
        return {str(key): plain(value) for key, value in content.items()}
    except RecursionError as error:
        raise CheckpointError(f"{path.name} is refused: its values are nested too deep") from error


def plain(value: Any) -> Any:
    """Turn what was read into dictionaries, lists, numbers, words and tensors; else None.

    A value that stands in several places is turned once: some lines of a pickle can name one list
    in more places than there is memory for. What holds itself holds None there.
    """
    return _plain(value, {})


def tensors_of(content: Mapping[str, Any], key: str, origin: str) -> dict[str, Tensor]:
    """Return the state dictionary under a key, one leading ``module.`` of all its names removed.

    Raises
    ------
    CheckpointError
        There is no such dictionary, it holds something else than plain tensors, or these say that
        they are larger than the file is.
    """
    state = content.get(key)
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{origin} holds no tensors under {key!r}")
    odd = {
        str(name)
        for name, value in state.items()
        if not isinstance(name, str) or not _is_plain_tensor(value)
    }
    if odd:
        raise CheckpointError(f"{origin}: not plain tensors: {listed(odd)}")
    _check_extent(state.values(), origin)
    prefix = "module."
    wrapped = all(name.startswith(prefix) for name in state)
    return {name.removeprefix(prefix) if wrapped else name: value for name, value in state.items()}


def _is_plain_tensor(value: Any) -> bool:
    return (
        type(value) is Tensor
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_complex()
        and not value.is_quantized
    )


def _check_extent(tensors: Collection[Tensor], origin: str) -> None:
    """Refuse tensors that repeat few bytes many times; tied weights may double them."""
    storages = [value.untyped_storage() for value in tensors]
    held = {storage.data_ptr(): storage.nbytes() for storage in storages}
    if sum(value.nbytes for value in tensors) > 2 * sum(held.values()):
        raise CheckpointError(f"{origin}: its tensors are larger than what the file holds of them")


def _plain(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, str | int | float | Tensor):
        return value
    if not isinstance(value, Mapping | list | tuple | StandIn):
        return None
    if id(value) not in known:
        known[id(value)] = None
        if isinstance(value, Mapping):
            known[id(value)] = {key: _plain(item, known) for key, item in value.items()}
        elif isinstance(value, StandIn):
            known[id(value)] = _plain_stand_in(value, known)
        else:
            known[id(value)] = [_plain(item, known) for item in value]
    return known[id(value)]


def _plain_stand_in(value: StandIn, known: dict[int, Any]) -> Any:
    name = type(value).__name__
    state = value.state
    if name == "scalar":
        return _number(value)
    if not isinstance(state, Mapping):
        return None
    return _plain(state["_content"] if "_content" in state else state.get("_val"), known)


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
