"""Whom a head's training held out, in digests: it is calibrated on nobody it learned from."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from training.data.table_mapping import HELD_OUT, UNKNOWN
from training.downstream.cases import Protocol
from training.downstream.labelled_images import LabelledImages
from training.errors import SettingsError

_ALL, _HELD_OUT = "all", "held out"


def record_of(data: LabelledImages, label: str, protocol: Protocol) -> dict[str, str]:
    """Return digests of the patients with a label: of all, and of those that are held out.

    The published protocol trains on those, too, where `LabelledImages.held_out_is_training`.
    """
    known = data.images[data.images[label] != UNKNOWN]
    is_learned = protocol is Protocol.PUBLISHED and data.held_out_is_training
    held_out = [] if is_learned else known["patient"][known["part"] == HELD_OUT]
    return {_ALL: _digest(known["patient"]), _HELD_OUT: _digest(held_out)}


def sources_of(name: str, record: Mapping[str, str]) -> dict[str, str]:
    """Return a record as a bundle's manifest keeps it, for a head of some name."""
    return {f"head {name}, patients {key}": value for key, value in record.items()}


def record_in(sources: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the record of a head in a bundle's manifest; empty where there is none."""
    own = {key: f"head {name}, patients {key}" for key in (_ALL, _HELD_OUT)}
    return {key: sources[named] for key, named in own.items() if named in sources}


def require_held_out(
    record: Mapping[str, str], data: LabelledImages, label: str, part: str, named: str
) -> None:
    """Refuse to calibrate a head on patients that it learned from.

    Parameters
    ----------
    record : of the head's training; empty where nothing is known
    part : of the table's images that is calibrated on
    named : the head, for the message

    Raises
    ------
    SettingsError
        The head was trained on this table's patients, and held others out, or nobody.
    """
    own = record_of(data, label, Protocol.HONEST)
    is_same_table = record.get(_ALL) == own[_ALL]
    if part == HELD_OUT and is_same_table and record.get(_HELD_OUT) != own[_HELD_OUT]:
        raise SettingsError(
            f"{named} was trained on patients that are held out here: by --protocol published, or "
            "with another --seed. Give --seed as in its training, train it with --protocol honest, "
            "or calibrate on other patients (--part test, or another table)"
        )


def _digest(patients: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(sorted(set(patients))).encode()).hexdigest()
