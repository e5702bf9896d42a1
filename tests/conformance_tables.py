"""The generated parts of docs/conformance.md: what the node accepts, offers and makes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from architecture_document import GeneratedPart
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.facts.storage_classes import (
    ACCEPTED_CLASSES,
    MAMMOGRAM_CLASSES,
    RESULT_CLASSES,
    SECONDARY_CAPTURE_CLASSES,
    TOMOSYNTHESIS_CLASSES,
)
from dicom_node.fetch.dicom_archive import SYNTAXES as RETRIEVED_SYNTAXES
from dicom_node.network import STORAGE_COMMITMENT, UNCOMPRESSED
from dicom_node.receive.announcing.announcing import AVAILABILITY, PROCEDURE_STEP
from dicom_node.receive.arriving_object import STATUS_OF
from mammoclip_core.images.header.image_kind import RADIOGRAPH_CLASSES

PAGE: Final = Path(__file__).parents[1] / "docs" / "conformance.md"
VERIFICATION: Final = "1.2.840.10008.1.1"
FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
IMPLICIT: Final = "1.2.840.10008.1.2"

ACCEPTED_SYNTAXES: Final = tuple(sorted(ALL_TRANSFER_SYNTAXES))
"""Of every storage SOP Class."""


def acceptor() -> str:
    """Return what the node accepts: SOP Classes, roles of the node, transfer syntaxes."""
    default = _listed(DEFAULT_TRANSFER_SYNTAXES)
    commitment = _listed(sorted(UNCOMPRESSED))
    lines = [
        "| SOP Class | UID | role of the node | transfer syntaxes | what becomes of it |",
        "| --- | --- | --- | --- | --- |",
        f"| {_name(VERIFICATION)} | {VERIFICATION} | SCP | {default} | answered |",
        f"| {_name(STORAGE_COMMITMENT)} | {STORAGE_COMMITMENT} | SCP, for the senders in "
        f"`[[receive.commitment]]` | {commitment} | answered from what is held |",
        f"| {_name(STORAGE_COMMITMENT)} | {STORAGE_COMMITMENT} | SCU, for archives that are asked "
        f"and call to report | {commitment} | proof of delivery |",
        *(
            f"| {_name(one)} | {one} | SCP, for the senders in `receive.announcers` | {commitment} "
            "| a sign that a study is complete |"
            for one in (PROCEDURE_STEP, AVAILABILITY)
        ),
    ]
    lines += [
        f"| {_name(one)} | {one} | SCP | all of the next table | {_use_of(one)} |"
        for one in ACCEPTED_CLASSES
    ]
    return "\n".join([*lines, "", *_syntaxes()])


def requestor() -> str:
    """Return what node and workers ask archives for."""
    uncompressed = _listed(sorted(UNCOMPRESSED))
    lines = [
        "| SOP Class | UID | role of the node | transfer syntaxes | when |",
        "| --- | --- | --- | --- | --- |",
        f"| {_name(VERIFICATION)} | {VERIFICATION} | SCU | {_listed([IMPLICIT])} "
        "| `check`, and while an archive is down |",
        f"| {_name(FIND)} | {FIND} | SCU | {uncompressed} | proof, `run`, `[[poll]]` |",
        f"| {_name(GET)} | {GET} | SCU, and SCP of Storage by role selection for the images "
        f"that are analysed | {uncompressed}; images: {_listed(RETRIEVED_SYNTAXES)} "
        "| `run`, `[[poll]]` |",
        f"| {_name(MOVE)} | {MOVE} | SCU, to the node's own title | {uncompressed} "
        '| `run` and `[[poll]]`, where the destination has `retrieve = "c-move"` |',
        f"| {_name(STORAGE_COMMITMENT)} | {STORAGE_COMMITMENT} | SCU | {uncompressed} "
        "| `confirm` with commitment |",
    ]
    lines += [
        f"| {_name(one)} | {one} | SCU | {uncompressed}, and the object's own "
        "| results of the destination's profile |"
        for one in sorted(RESULT_CLASSES)
    ]
    return "\n".join(lines)


def objects() -> str:
    """Return the kinds of object that the node makes, with their SOP Classes."""
    lines = ["| object | SOP Class | UID |", "| --- | --- | --- |"]
    lines += [
        f"| {kind.row.title} | {_name(one)} | {one} |"
        for kind in ResultKind
        for one in kind.row.sop_class_uids
    ]
    return "\n".join(lines)


def statuses() -> str:
    """Return the failure statuses of C-STORE and STOW-RS, each with its meaning."""
    lines = ["| status | meaning | reason in the log |", "| --- | --- | --- |"]
    for error, status in STATUS_OF.items():
        meaning = (error.__doc__ or "").strip().partition("\n")[0]
        lines.append(f"| 0x{status:04X} | {meaning} | `{error.reason}` |")
    return "\n".join([*lines, "| 0x0110 | A fault of the node itself. | `storing_failed` |"])


def _syntaxes() -> Iterator[str]:
    yield from ("| transfer syntax of stored objects | UID |", "| --- | --- |")
    yield from (f"| {_name(one)} | {one} |" for one in ACCEPTED_SYNTAXES)


def _name(uid: str) -> str:
    return UID(uid).name


def _listed(uids: Iterable[str]) -> str:
    return ", ".join(map(_name, uids))


def _use_of(sop_class: str) -> str:
    if sop_class in MAMMOGRAM_CLASSES:
        return "analysed"
    if sop_class in TOMOSYNTHESIS_CLASSES:
        return "analysed as the settings say"
    if sop_class in SECONDARY_CAPTURE_CLASSES | RADIOGRAPH_CLASSES:
        return "analysed by setting; else set aside"
    if sop_class in RESULT_CLASSES:
        return "kept as what an archive sends back; set aside"
    return "set aside"


PARTS: Final = {
    name: GeneratedPart(PAGE, name, make)
    for name, make in {
        "acceptor": acceptor,
        "statuses": statuses,
        "requestor": requestor,
        "objects": objects,
    }.items()
}


if __name__ == "__main__":
    for part in PARTS.values():
        part.write()
