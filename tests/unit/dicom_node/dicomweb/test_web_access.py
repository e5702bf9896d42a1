"""Nobody uses the DICOMweb service who is not named, and nobody for what it may not."""

from typing import Any

import pytest
from pydantic import ValidationError
from web_factory import TOKEN

from dicom_node.dicomweb.access import NotAdmittedError, admitted
from dicom_node.serving.hosts import is_own_name
from dicom_node.settings.ways_in.dicomweb import DicomwebSettings

NAMED = {"tls": True, "require_client_certificate": True}


def settings(*clients: dict[str, Any], **options: Any) -> DicomwebSettings:
    return DicomwebSettings(enabled=True, clients=clients, **options)


def status_for(found: DicomwebSettings, **call: Any) -> int:
    asked = {"to": "store", "address": "10.1.2.3", "authorization": "", "certificate": {}, **call}
    try:
        admitted(found, **asked)
    except NotAdmittedError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \xff", 401),
    ],
)
def test_client_shows_its_token(authorization: str, status: int) -> None:
    found = settings({"name": "router", "token": TOKEN})

    assert status_for(found, authorization=authorization) == status


@pytest.mark.parametrize(
    ("address", "status"), [("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("10.1.3.3", 401)]
)
def test_client_calls_from_its_network(address: str, status: int) -> None:
    assert status_for(settings({"name": "a", "networks": ["10.1.2.0/24"]}), address=address) == (
        status
    )


@pytest.mark.parametrize(("name", "status"), [("router.example", 200), ("other.example", 401)])
def test_client_has_its_name_in_its_certificate(name: str, status: int) -> None:
    found = settings({"name": "router", "certificate_name": "router.example"}, **NAMED)

    certificate = {"subjectAltName": (("DNS", name),)}
    assert status_for(found, certificate=certificate) == status


def test_known_client_may_do_only_what_is_its_own() -> None:
    found = settings({"name": "a", "networks": ["10.0.0.0/8"], "may": ["store"]})

    assert status_for(found, to="read") == 403


def test_of_two_descriptions_of_a_client_the_one_counts_that_allows_it() -> None:
    here = {"networks": ["10.0.0.0/8"]}
    found = settings({"name": "a", **here}, {"name": "b", "may": ["read"], **here})

    assert status_for(found, to="read") == 200


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost:8080", True),
        ("127.0.0.1", True),
        ("[::1]:80", True),
        ("Node.example:443", True),
        ("attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("", False),
    ],
)
def test_node_is_called_by_its_own_names(host: str, is_own: bool) -> None:
    found = settings({"name": "a", "token": TOKEN}, host_names=["node.example"])

    assert is_own_name(host, found.host_names) is is_own


@pytest.mark.parametrize(
    ("clients", "options", "words"),
    [
        ([], {}, "needs at least one block"),
        ([{"name": "a"}], {}, "set token or certificate_name, or the networks"),
        ([{"name": "a", "token": "short"}], {}, "at least 16 characters"),
        ([{"name": "a", "certificate_name": "b"}], {"tls": True}, "require_client_certificate"),
        ([{"name": "a", "token": TOKEN}] * 2, {}, "used twice"),
    ],
)
def test_setting_that_would_let_in_anyone_is_a_mistake(
    clients: list[dict[str, Any]], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(*clients, **options)
