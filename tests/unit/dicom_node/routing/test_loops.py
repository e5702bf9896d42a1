"""A destination that is the node itself is named, however its address is written."""

import socket
from typing import Any

import pytest

from dicom_node.errors import SettingsError
from dicom_node.routing.checking import rules_of
from dicom_node.routing.loops import loops
from dicom_node.settings.settings import Settings

CLIENT = {"name": "c", "ae_title": "C", "token": "x" * 40}
LISTENING: dict[str, Any] = {
    "dicomweb": {"enabled": True, "clients": [CLIENT]},
    "hl7": {"enabled": True},
}


def dicom(host: str, port: int = 11112, ae_title: str = "MAMMOCLIP") -> dict[str, Any]:
    return {"name": "own", "ae_title": ae_title, "host": host, "port": port}


def web(url: str, kind: str = "dicomweb") -> dict[str, Any]:
    return {"name": "own", "kind": kind, "url": url}


def told(destination: dict[str, Any], *rules: dict[str, Any]) -> list[str]:
    return list(loops(Settings(destinations=[destination], rules=rules, **LISTENING)))


@pytest.mark.parametrize(
    "destination",
    [
        dicom("127.0.0.1"),
        dicom("127.8.9.10"),
        dicom("LocalHost."),
        dicom("::1"),
        dicom("::ffff:127.0.0.1"),
        dicom("0.0.0.0"),
        dicom("127.1"),
        dicom(socket.gethostname()),
        web("http://127.0.0.1:11180/dicomweb"),
        web("https://[::1]:11180/"),
        web("http://localhost:11180/fhir", "fhir"),
        {"name": "own", "kind": "hl7", "host": "localhost", "receiving_application": "X"},
    ],
    ids=lambda one: one.get("url") or one["host"],
)
def test_node_is_known_by_each_of_its_addresses(destination: dict[str, Any]) -> None:
    words = "a loop: destination own is this node, which would receive its own results"

    assert told(destination) == [f"the default rule: {words}"]
    assert told(destination, {"name": "a", "destinations": ["own"]}) == [f"rules[1] a: {words}"]


@pytest.mark.parametrize(
    "destination",
    [
        dicom("127.0.0.1", port=104),
        dicom("127.0.0.1", ae_title="ARCHIVE"),
        dicom("archive.example"),
        dicom("192.0.2.7"),
        web("http://127.0.0.1:8042/dicom-web"),
        web("http://archive.example:11180/dicomweb"),
    ],
    ids=["port", "title", "name", "address", "other port", "other host"],
)
def test_another_application_is_no_loop(destination: dict[str, Any]) -> None:
    assert told(destination) == []


def test_loop_is_named_beside_all_other_mistakes() -> None:
    own, rule = dicom("127.0.0.1"), {"name": "a", "when": "x", "destinations": ["own"]}

    with pytest.raises(SettingsError) as raised:
        rules_of(Settings(destinations=[own], rules=[rule]))

    assert "nothing is called x" in str(raised.value)
    assert "a loop: destination own is this node" in str(raised.value)
