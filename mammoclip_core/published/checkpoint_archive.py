"""The archive of a checkpoint from outside, looked through before anything in it is read."""

import pickletools
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from mammoclip_core.bundles.tensor_names import listed
from mammoclip_core.errors import CheckpointError

_MOST_PICKLE_BYTES: Final = 1 << 26
"""The largest published one, with its optimizer's state, has half a million bytes."""

_NUMBERS: Final = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte")

TENSOR_NAMES: Final = frozenset(
    {
        "collections.Counter",
        "collections.OrderedDict",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        "torch.Size",
        "torch.device",
        "torch.BoolStorage",
        *(f"torch.{kind}Storage" for kind in _NUMBERS),
        *(f"torch.{kind}" for kind in ("float64", "float32", "float16", "bfloat16", "int64")),
        "_codecs.encode",
    }
)
"""What torch.save names to write tensors and plain values.

torch's own restricted reader knows more, such as ``bytearray``, with which a file of some hundred
bytes asks for any amount of memory.
"""

_GROWING_CODECS: Final = frozenset(
    {"hex", "base64", "uu", "quopri", "quotedprintable", "zip", "zlib", "bz2"}
)
"""From bytes to bytes: applied again and again they make a short file a long value."""


def check_container(path: Path, further_names: Collection[str]) -> None:
    """Refuse a file that is not what torch.save writes of tensors and plain values.

    Parameters
    ----------
    further_names : ``module.name`` each
        What the file may name beyond `TENSOR_NAMES`, because its reader makes it harmless.

    Raises
    ------
    CheckpointError
        The file is not an archive of torch.save, is truncated, would grow while it is read, or
        names anything else.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    if start[:2] == b"\x80\x02" or start[:1] == b"\x80":
        raise CheckpointError(
            f"{path.name} is a bare pickle, which could run code when it is read: refused"
        )
    if start[:2] != b"PK":
        raise CheckpointError(f"{path.name} was not written by torch.save")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path.name} is truncated: its archive has no end")
    try:
        with zipfile.ZipFile(path) as archive:
            content = _pickle_of(archive, path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, RuntimeError) as error:
        raise CheckpointError(f"{path.name} is refused: its archive is damaged: {error}") from error
    unsafe = _names_in(content, path.name) - TENSOR_NAMES - set(further_names)
    if unsafe:
        raise CheckpointError(
            f"{path.name} is refused: it names code beyond tensors and plain values: "
            f"{listed(unsafe)}"
        )


def _pickle_of(archive: zipfile.ZipFile, path: Path) -> bytes:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    pickles = [entry for entry in entries if entry.filename.count("/") == 1]
    pickles = [entry for entry in pickles if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or len(set(names)) != len(names):
        raise CheckpointError(f"{path.name} is refused: it is not an archive of torch.save")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(
            f"{path.name} is refused: it is compressed, which torch.save never does"
        )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path.name} is refused: it declares more bytes than it has")
    if pickles[0].file_size > _MOST_PICKLE_BYTES:
        raise CheckpointError(f"{path.name} is refused: its index has {pickles[0].file_size} bytes")
    return archive.read(pickles[0])


def _names_in(content: bytes, origin: str) -> set[str]:
    """Return what a pickle names, without following any of its instructions."""
    names: set[str] = set()
    texts: set[str] = set()
    try:
        for instruction, argument, _ in pickletools.genops(content):
            if instruction.name in {"GLOBAL", "INST"}:
                names.add(str(argument).replace(" ", "."))
            elif instruction.name == "STACK_GLOBAL":
                names.add("a name put together while reading")
            elif isinstance(argument, str):
                texts.add("".join(filter(str.isalnum, argument[:24].lower())))
    except (ValueError, LookupError, OverflowError, UnicodeError) as error:
        raise CheckpointError(f"{origin} is refused: its index is damaged: {error}") from error
    if "_codecs.encode" in names and any(
        text.removesuffix("codec") in _GROWING_CODECS for text in texts
    ):
        raise CheckpointError(f"{origin} is refused: a value in it grows while it is read")
    return names
