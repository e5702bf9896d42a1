"""Headers of held objects in the DICOM JSON model (PS3.18 F), without bulk data."""

from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import FileDataset
from pydicom.filereader import read_file_meta_info

from dicom_node.dicomweb.holdings import HeldObject
from dicom_node.errors import NodeError
from dicom_node.facts.bounded_header import bounded_header
from dicom_node.facts.instance import content_offset
from mammoclip_core.images.decoding.data_set import READING_ERRORS

JsonObject = dict[str, Any]

_MAXIMUM_BYTES: Final = 2**32
_PIXELS: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})
_GROUP_LENGTH: Final = 0x0000


class UnreadableHeldObjectError(NodeError):
    """The file of an object that the node has cannot be read."""

    reason = "held-object-unreadable"


def header_of(held: HeldObject) -> JsonObject:
    """Return the attributes of an object by their tags; values of many kilobytes are left out.

    Raises
    ------
    UnreadableHeldObjectError
    """
    file = held.file
    try:
        meta = read_file_meta_info(file)
        with bounded_header(
            file, meta, content_offset=content_offset(file), maximum_bytes=_MAXIMUM_BYTES
        ) as (dataset, has_pixels):
            found = _json_of(dataset)
    except (NodeError, *READING_ERRORS) as error:
        raise UnreadableHeldObjectError(
            f"the object {held.sop_instance_uid} cannot be read: {type(error).__name__}"
        ) from error
    if has_pixels:
        found["7FE00010"] = {"vr": "OW", "BulkDataURI": f"{path_of(held)}/frames"}
    found["00083002"] = {"vr": "UI", "Value": [str(meta.TransferSyntaxUID)]}
    return found


def path_of(held: HeldObject) -> str:
    """Return the path of an object below the root of the service."""
    return (
        f"studies/{held.study_instance_uid}/series/{held.series_instance_uid}"
        f"/instances/{held.sop_instance_uid}"
    )


def transfer_syntax_of(file: Path) -> str:
    """Return the transfer syntax of a file of the spool."""
    return str(read_file_meta_info(file).TransferSyntaxUID)


def _json_of(dataset: FileDataset) -> JsonObject:
    found: JsonObject = {}
    for tag in sorted(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        is_skipped = isinstance(raw, pydicom.dataelem.RawDataElement) and (
            not raw.value and bool(raw.length)
        )
        if is_skipped or tag.element == _GROUP_LENGTH or f"{tag:08X}" in _PIXELS:
            continue
        try:
            found[f"{tag:08X}"] = dataset[tag].to_json_dict(None, 0)
        except READING_ERRORS:
            continue  # a value that is none; the others are shown
    return found
