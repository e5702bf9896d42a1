"""Makes the receipt of a study, and verifies one years later without the node.

A receipt is a file of chained lines (`dicom_node.audit.chained_lines`): a head, one line for each
thing, and the signature of the last digest. The head names the last line of the audit file, so
receipts that others keep also say how far that file must reach.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from dicom_node.audit.audit_file import Head
from dicom_node.audit.chained_lines import START, Fault, line_of, parsed, read_chain
from dicom_node.errors import NodeError
from dicom_node.receipts.content import FORMAT
from dicom_node.receipts.signature import ALGORITHM, ReceiptKey, is_signed_by

_CONTEXT: Final = b"mammoclip receipt 1\0"
"""Signed before the digest, so that the signature counts for nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a receipt says, and what is wrong with it.

    Attributes
    ----------
    study : Study Instance UID; empty if the receipt does not tell
    made_at : as it says
    key : public key that has signed it; empty if none has
    counts : of entries by kind
    """

    study: str = ""
    made_at: str = ""
    key: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def make_receipt(
    entries: Iterable[dict[str, Any]],
    *,
    study_instance_uid: str,
    made_at: datetime,
    software: str,
    serial_number: str,
    audit: Head,
    key: ReceiptKey,
) -> bytes:
    """Return a signed receipt.

    Parameters
    ----------
    entries : what it says (`dicom_node.receipts.content.receipt_entries`)
    software : version of this software
    serial_number : Device Serial Number of the node's results
    audit : last line of the audit file
    """
    head = {
        "kind": "receipt",
        "format": FORMAT,
        "study": study_instance_uid,
        "made_at": made_at.isoformat(timespec="milliseconds"),
        "software": software,
        "serial_number": serial_number,
        "audit_line": audit.number,
        "audit_digest": audit.digest,
    }
    lines: list[bytes] = []
    digest = START
    for entry in (head, *entries):
        lines.append(line_of(entry, digest))
        digest = _digest(lines[-1])
    signature = {
        "kind": "signature",
        "algorithm": ALGORITHM,
        "key": key.public,
        "signature": key.sign(_CONTEXT + digest.encode()),
    }
    lines.append(line_of(signature, digest))
    return b"".join(lines)


def verify_receipt(content: bytes, *, key: str | None = None) -> Verdict:
    """Return what a receipt says, and everything that is wrong with it.

    Parameters
    ----------
    key : public key that must have signed it; None for whichever it names

    Raises
    ------
    SignatureError
        The library that verifies signatures is not installed.
    """
    chain = read_chain(content.splitlines(keepends=True))
    faults = list(chain.faults)
    kinds = [str(entry.get("kind", "")) for entry in chain.entries]
    head: dict[str, Any] = chain.entries[0] if chain.entries else {}
    last: dict[str, Any] = chain.entries[-1] if chain.entries else {}
    place = max(len(chain.digests), 1)
    if head.get("kind") != "receipt" and not any(one.line == 1 for one in faults):
        faults.append(Fault(line=1, words="this is no receipt, or its beginning is missing"))
    signer = ""
    if last.get("kind") != "signature":
        faults.append(Fault(line=place + 1, words="the signature is missing: the end is cut off"))
    else:
        signer = str(last.get("key", ""))
        signed = _CONTEXT + (chain.digests[-2] if len(kinds) > 1 else START).encode()
        if last.get("algorithm") != ALGORITHM or not is_signed_by(
            signer, str(last.get("signature", "")), signed
        ):
            faults.append(Fault(line=place, words="the signature does not fit what is signed"))
        elif key is not None and signer != key.strip().lower():
            faults.append(Fault(line=place, words=f"it is signed by another key, {signer}"))
    counts = {kind: kinds.count(kind) for kind in ("received", "analysed", "made", "delivered")}
    return Verdict(
        study=str(head.get("study", "")),
        made_at=str(head.get("made_at", "")),
        key=signer,
        counts=counts,
        faults=tuple(sorted(faults, key=lambda fault: fault.line)),
    )


def head_named_by(content: bytes, name: str) -> Head:
    """Return the last line that the audit file had when a receipt was made.

    Parameters
    ----------
    name : of the receipt, for the error

    Raises
    ------
    NodeError
        It is no receipt, or is not as it was signed.
    """
    verdict = verify_receipt(content)
    if verdict.faults:
        raise NodeError(f"{name} is no receipt as it was signed: {verdict.faults[0].in_words()}")
    head = read_chain(content.splitlines(keepends=True)).entries[0]
    return Head(number=int(head["audit_line"]), digest=str(head["audit_digest"]))


def _digest(line: bytes) -> str:
    found = parsed(line[:-1])
    assert found is not None, "a line that was just made"
    return found[0]
