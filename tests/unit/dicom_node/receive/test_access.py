"""Who may open an association, decided from AE titles, address and certificate."""

from typing import Any

import pytest

from dicom_node.receive.access import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    Caller,
    rejection_of,
)
from dicom_node.settings.ways_in.receive import ReceiveSettings

ROOM1 = {"ae_title": "ROOM1", "networks": ["10.1.2.0/24", "fd00:1::/64"]}
ROOM2 = {"ae_title": "ROOM2", "certificate_name": "room2.hospital.example"}


def reason_for(settings: dict[str, Any], **caller: Any) -> str | None:
    told = {
        "calling_ae_title": "ROOM1",
        "called_ae_title": "MAMMOCLIP",
        "address": "10.1.2.3",
        **caller,
    }
    rejection = rejection_of(Caller(**told), ReceiveSettings.model_validate(settings))
    return None if rejection is None else rejection.reason


def named(common_name: str = "", *san: tuple[str, str]) -> dict[str, Any]:
    """Return a certificate as `ssl.SSLSocket.getpeercert` does."""
    return {
        "subject": ((("organizationName", "ROOM1"),), (("commonName", common_name),)),
        "subjectAltName": san,
    }


def test_anyone_may_call_who_is_not_restricted() -> None:
    assert reason_for({}) is None


@pytest.mark.parametrize("called", ["SOMEBODY", "", "mammoclip"])
def test_called_title_of_somebody_else_is_told_as_such(called: str) -> None:
    rejection = rejection_of(
        Caller(calling_ae_title="ROOM1", called_ae_title=called, address="10.1.2.3"),
        ReceiveSettings(),
    )

    assert rejection is not None
    assert rejection.diagnostic == CALLED_AE_TITLE_NOT_RECOGNIZED


@pytest.mark.parametrize(
    ("settings", "caller"),
    [
        ({"calling_ae_titles": ["ROOM9"]}, {}),
        ({"networks": ["10.9.0.0/16"]}, {}),
        ({"senders": [ROOM1]}, {"address": "10.1.3.3"}),
    ],
)
def test_every_other_rejection_says_no_more_than_calling_title_not_recognized(
    settings: dict[str, Any], caller: dict[str, Any]
) -> None:
    told = {"calling_ae_title": "ROOM1", "called_ae_title": "MAMMOCLIP", "address": "10.1.2.3"}

    rejection = rejection_of(Caller(**{**told, **caller}), ReceiveSettings.model_validate(settings))

    assert rejection is not None
    assert rejection.diagnostic == CALLING_AE_TITLE_NOT_RECOGNIZED


@pytest.mark.parametrize(
    ("calling", "reason"),
    [
        ("ROOM1", None),
        ("ROOM9", "calling-ae-title-not-recognized"),
        ("room1", "calling-ae-title-not-recognized"),
    ],
)
def test_only_listed_titles_may_call(calling: str, reason: str | None) -> None:
    assert reason_for({"calling_ae_titles": ["ROOM1"]}, calling_ae_title=calling) == reason


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.1.2.3", None),
        ("::ffff:10.1.2.3", None),
        ("fd00:1::7", None),
        ("fe80::1%eth0", "network-not-allowed-for-ae-title"),
        ("10.1.3.3", "network-not-allowed-for-ae-title"),
        ("not an address", "network-not-allowed-for-ae-title"),
    ],
)
def test_title_is_known_within_its_networks_only(address: str, reason: str | None) -> None:
    assert reason_for({"senders": [ROOM1]}, address=address) == reason


def test_title_may_have_several_blocks() -> None:
    settings = {"senders": [ROOM1, {"ae_title": "ROOM1", "networks": ["10.7.0.0/16"]}]}

    assert reason_for(settings, address="10.7.1.1") is None


def test_title_of_the_plain_list_may_call_from_anywhere() -> None:
    settings = {"calling_ae_titles": ["ROOM9"], "senders": [ROOM1]}

    assert reason_for(settings, calling_ae_title="ROOM9", address="192.0.2.1") is None


def test_network_of_the_port_holds_for_everyone() -> None:
    settings = {"networks": ["10.1.0.0/16"], "senders": [{"ae_title": "ROOM1"}]}

    assert reason_for(settings, address="10.1.9.9") is None
    assert reason_for(settings, address="10.2.9.9") == "network-not-allowed"


BOUND = {"tls": True, "senders": [ROOM1, ROOM2]}


@pytest.mark.parametrize(
    ("where", "title", "certificate", "accepted"),
    [
        ("subject", "ROOM1", named("ROOM1"), True),
        ("subject", "ROOM1", named("ROOM2"), False),
        ("subject", "ROOM1", named("room1"), False),
        ("subject", "ROOM1", named("", ("DNS", "ROOM1")), False),
        ("subject", "ROOM2", named("room2.hospital.example"), True),
        ("subject", "ROOM2", named("ROOM2"), False),
        ("san", "ROOM1", named("", ("DNS", "room1")), True),
        ("san", "ROOM1", named("ROOM1", ("DNS", "room2")), False),
        ("san", "ROOM1", named("", ("email", "ROOM1")), False),
        ("san", "ROOM1", named("", ("DNS", "*")), False),
        ("san", "ROOM2", named("", ("URI", "room2.hospital.example")), True),
        ("san", "ROOM2", named("", ("DNS", "ROOM2")), False),
        ("subject", "ROOM1", {}, False),
        ("subject", "ROOM1", None, False),
        ("unbound", "ROOM1", named("ROOM2"), True),
    ],
)
def test_certificate_must_hold_the_title_where_the_settings_say(
    where: str, title: str, certificate: dict[str, Any] | None, accepted: bool
) -> None:
    settings = {**BOUND, "certificate_names": where}

    reason = reason_for(settings, calling_ae_title=title, certificate=certificate)

    assert reason == (None if accepted else "certificate-names-another-ae-title")


@pytest.mark.parametrize("title", ["ROOM9", "ANYONE"])
def test_title_without_a_block_is_bound_by_its_own_name(title: str) -> None:
    settings = {"tls": True, "certificate_names": "subject"}

    assert reason_for(settings, calling_ae_title=title, certificate=named(title)) is None
    assert reason_for(settings, calling_ae_title=title, certificate=named("OTHER"))
