"""docs/conformance.md says what the listener negotiates: each SOP Class, by syntax and by role."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import conformance_tables as tables
import pytest
from listener_factory import Listening
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom import AE, build_context, build_role

from dicom_node.network import STORAGE_COMMITMENT
from dicom_node.receive.announcing.announcing import AVAILABILITY, PROCEDURE_STEP
from dicom_node.settings.ways_in.receive import ReceiveSettings

SYNTAXES: Final = tuple(
    sorted(uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax")
)
CLASSES: Final = tuple(
    sorted(uid for uid, entry in UID_dictionary.items() if entry[1].endswith("SOP Class"))
)
MOST_CONTEXTS: Final = 128
EVERYTHING: Final[dict[str, Any]] = {
    "commitment": [{"ae_title": "SCANNER", "host": "127.0.0.1", "port": 11113}],
    "announcers": ["SCANNER"],
}
"""The settings by which the one sender of these tests may ask for every service."""


def stated() -> dict[str, dict[str, set[str]]]:
    """Return the table for acceptors: by SOP Class, the roles of the node and the syntaxes."""
    written = tables.PARTS["acceptor"].written().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in written]
    of_objects = {row[1] for row in rows if len(row) == 2 and row[1] in SYNTAXES}
    found: dict[str, dict[str, set[str]]] = {}
    for row in (one for one in rows if len(one) == 5 and one[1] in CLASSES):
        entry = found.setdefault(row[1], {"roles": set(), "syntaxes": set()})
        entry["roles"].add(row[2][:3])
        named = {uid for uid in SYNTAXES if UID(uid).name in row[3].split(", ")}
        entry["syntaxes"] |= of_objects if row[3] == "all of the next table" else named
    return found


def negotiated(port: int, pairs: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[Any]:
    """Propose contexts, as many to an association as it may have; yield those accepted."""
    waiting = list(pairs)
    for begin in range(0, len(waiting), MOST_CONTEXTS):
        portion = waiting[begin : begin + MOST_CONTEXTS]
        entity = AE(ae_title="SCANNER")
        association = entity.associate(
            "127.0.0.1",
            port,
            ae_title="MAMMOCLIP",
            contexts=[build_context(one, list(syntaxes)) for one, syntaxes in portion],
        )
        yield from association.accepted_contexts
        # An association without any accepted context is aborted by the library.
        if association.is_established:
            association.release()


@pytest.mark.parametrize("part", tables.PARTS)
def test_generated_part_is_up_to_date(part: str) -> None:
    assert tables.PARTS[part].written() == tables.PARTS[part].make(), "run: make docs"


def test_node_accepts_the_sop_classes_of_the_statement_and_no_other(listening: Listening) -> None:
    _, port = listening(**EVERYTHING)

    accepted = {one.abstract_syntax for one in negotiated(port, ((c, SYNTAXES) for c in CLASSES))}

    assert accepted == set(stated())


def test_node_accepts_the_transfer_syntaxes_of_the_statement_and_no_other(
    listening: Listening,
) -> None:
    _, port = listening(**EVERYTHING)
    statement = stated()
    pairs = [(one, (syntax,)) for one in statement for syntax in SYNTAXES]

    accepted: dict[str, set[str]] = {one: set() for one in statement}
    for context in negotiated(port, pairs):
        accepted[context.abstract_syntax].add(context.transfer_syntax[0])

    assert accepted == {one: entry["syntaxes"] for one, entry in statement.items()}


def test_node_takes_the_role_of_the_scp_alone_from_those_who_send(listening: Listening) -> None:
    _, port = listening()
    classes = sorted(set(stated()) - {STORAGE_COMMITMENT, PROCEDURE_STEP, AVAILABILITY})
    entity = AE(ae_title="SCANNER")

    association = entity.associate(
        "127.0.0.1",
        port,
        ae_title="MAMMOCLIP",
        contexts=[build_context(one) for one in classes],
        ext_neg=[build_role(one, scu_role=True, scp_role=True) for one in classes],
    )
    taken = {one.abstract_syntax: (one.as_scu, one.as_scp) for one in association.accepted_contexts}
    association.release()

    assert taken == dict.fromkeys(classes, (True, False))


@pytest.mark.parametrize("service", [STORAGE_COMMITMENT, PROCEDURE_STEP, AVAILABILITY])
def test_service_is_offered_to_those_alone_whom_the_statement_names(
    listening: Listening, service: str
) -> None:
    _, port = listening()

    accepted = negotiated(port, [(service, SYNTAXES), (tables.VERIFICATION, SYNTAXES)])

    assert [one.abstract_syntax for one in accepted] == [tables.VERIFICATION]


def test_every_setting_that_the_statement_names_exists() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`receive\.(\w+)`", text))

    assert named
    assert named <= set(ReceiveSettings.model_fields)
