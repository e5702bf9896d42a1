"""People sign in by the site's provider of identities, and nobody by an answer that is not its."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from console_factory import PASSWORD, Served
from identity_provider import Provider
from node_factory import NOW
from provider_desk import READER, Desk, problem_of

from dicom_node.audit_trail import deeds_of
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.accounts import accounts, remove_account, set_password, set_role
from dicom_node.sign_in.roles import Role


def test_person_signs_in_with_the_role_of_their_groups(desk: Desk) -> None:
    answer = desk.sign_in("/workers")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/workers")
    assert "quell (viewer)" in desk.person(answer).get("/studies").text
    assert desk.person(answer).post("/pauses", data={"what": "node"}).status_code == 403


def test_browser_goes_with_state_nonce_and_challenge_and_without_a_secret(desk: Desk) -> None:
    first, second = desk.begin(), desk.begin()

    asked = parse_qs(urlsplit(first).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{desk.served.url}/sign-in/oidc/back"]
    assert "secret" not in first
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name][0]) >= 43
        assert asked[name] != parse_qs(urlsplit(second).query)[name]


@pytest.mark.parametrize(
    ("groups", "role"),
    [("it", "admin"), (["readers", "technicians"], "operator"), (["readers"], "viewer")],
)
def test_highest_role_counts_and_is_renewed_at_each_sign_in(
    desk: Desk, provider: Provider, groups: Any, role: str
) -> None:
    provider.honest({**READER, "groups": groups})

    assert f"quell ({role})" in desk.person(desk.sign_in()).get("/studies").text


@pytest.mark.parametrize("groups", [None, [], ["staff"], [1], {"readers": True}, ["READERS"]])
def test_person_without_a_group_is_told_so_and_not_let_in(
    desk: Desk, provider: Provider, groups: Any
) -> None:
    provider.honest({**READER, "sub": "0002", "groups": groups})

    answer = desk.sign_in()

    assert answer.status_code == 403
    assert "none of your groups gives a role here" in problem_of(answer).lower()
    assert not desk.is_signed_in()


def test_groups_that_only_the_userinfo_endpoint_says_count_for_their_person(
    desk: Desk, provider: Provider
) -> None:
    provider.honest({"sub": "0003"})
    provider.user_info = {**READER, "sub": "0001"}
    assert desk.sign_in().status_code == 401  # of somebody else

    provider.user_info = {**READER, "sub": "0003", "preferred_username": "third"}
    assert desk.sign_in().status_code == 303


def test_code_is_used_once(desk: Desk) -> None:
    address = desk.at_provider(desk.begin())
    cookies = desk.session.cookies.copy()
    assert desk.back(address).status_code == 303

    again = Desk(desk.served, requests.Session())
    again.session.cookies.update(cookies)

    assert "used already" in problem_of(again.back(address))
    assert not again.is_signed_in()


def test_code_of_somebody_else_is_refused_by_its_challenge(desk: Desk, provider: Provider) -> None:
    """A stolen code in a sign-in that the thief has begun (RFC 7636)."""
    stolen = parse_qs(urlsplit(desk.at_provider(desk.begin())).query)["code"][0]
    thief = Desk(desk.served, requests.Session())
    provider.answer = lambda brought: {**brought, "code": stolen}

    answer = thief.sign_in()

    assert "invalid_grant" in problem_of(answer)
    assert not thief.is_signed_in()


@pytest.mark.parametrize("kept", [True, False], ids=["with a sign-in of its own", "without one"])
def test_state_of_another_browser_is_refused_and_stays_good_in_its_own(
    desk: Desk, kept: bool
) -> None:
    address = desk.at_provider(desk.begin())
    other = Desk(desk.served, requests.Session())
    if kept:
        other.begin()

    answer = other.back(address)

    assert answer.status_code == 401
    assert "not begun in this browser" in problem_of(answer)
    assert not other.is_signed_in()
    assert desk.back(address).status_code == 303


@pytest.mark.parametrize("answer", [{}, {"state": "x", "code": "y"}, {"error": "access_denied"}])
def test_answer_that_belongs_to_no_sign_in_is_refused(
    served: Served, answer: dict[str, str]
) -> None:
    told = served.get("/sign-in/oidc/back", params=answer)

    assert told.status_code == 401
    assert "not begun in this browser" in problem_of(told)


def test_refusal_of_the_provider_is_told_by_its_code_alone(desk: Desk, provider: Provider) -> None:
    for error, told in (("access_denied", "access_denied"), ("<b>x</b>", "without a known")):
        provider.answer = lambda brought, error=error: {
            "state": brought["state"],
            "error": error,
            "error_description": "call this number",
        }

        answer = desk.sign_in()

        assert told in problem_of(answer)
        assert "call this number" not in answer.text
        assert "<b>" not in answer.text


def test_answer_that_names_another_issuer_is_refused(desk: Desk, provider: Provider) -> None:
    provider.answer = lambda brought: {**brought, "iss": "https://other.example"}
    assert "another provider" in problem_of(desk.sign_in())

    provider.answer = lambda brought: {**brought, "iss": provider.issuer}
    assert desk.sign_in().status_code == 303


@pytest.mark.parametrize("path", ["//attacker.example", "https://attacker.example", "/\\x", "x"])
def test_sign_in_by_a_provider_leads_to_no_other_site(desk: Desk, path: str) -> None:
    assert desk.sign_in(path).headers["Location"] == "/"


def test_secret_that_somebody_else_has_planted_is_not_taken_over(desk: Desk) -> None:
    desk.session.cookies.set("mammoclip_sign_in", "planted", domain="127.0.0.1", path="/")
    desk.sign_in()

    answer = desk.served.get("/studies", headers={"Cookie": "mammoclip_sign_in=planted"})

    assert answer.status_code == 303
    assert desk.is_signed_in()


def test_page_of_another_site_begins_no_sign_in(served: Served) -> None:
    answer = served.get("/sign-in/oidc", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_cookie_of_a_begun_sign_in_is_kept_from_scripts_and_goes(desk: Desk) -> None:
    begun = desk._get(f"{desk.served.url}/sign-in/oidc").headers["Set-Cookie"]
    for word in ("HttpOnly", "SameSite=lax", "Path=/sign-in", "Max-Age=600"):
        assert word in begun

    desk.sign_in()

    assert "mammoclip_sign_in_begun" not in desk.session.cookies.keys()  # noqa: SIM118


def test_sign_out_leads_to_the_provider_too(desk: Desk, provider: Provider) -> None:
    person = desk.person(desk.sign_in())
    kept = dict(desk.session.cookies)

    answer = person.post("/sign-out")

    page = person.get(answer.headers["Location"]).text
    assert f"{provider.issuer}/end?client_id=mammoclip-node" in page
    again = requests.get(
        f"{desk.served.url}/studies", cookies=kept, timeout=30, allow_redirects=False
    )
    assert again.status_code == 303


def test_account_of_the_node_is_not_taken_over_by_its_name(desk: Desk, provider: Provider) -> None:
    provider.honest({**READER, "sub": "0666", "preferred_username": "admin"})

    answer = desk.sign_in()

    assert answer.status_code == 403
    assert "belongs to another account" in problem_of(answer)
    assert desk.served.person("admin").answer.status_code == 303


def test_person_who_is_renamed_keeps_the_account(desk: Desk, provider: Provider) -> None:
    for name in ("before", "after 2"):
        provider.honest({**READER, "sub": "0004", "preferred_username": name})
        assert desk.sign_in().status_code == 303

    with desk.served.database.reading() as session:
        names = {one.name for one in accounts(session) if one.issuer == provider.issuer}
    assert "after_2" in names
    assert "before" not in names


@pytest.mark.parametrize("name", [None, "", 7, "..", "x" * 65])
def test_person_without_a_name_is_refused(desk: Desk, provider: Provider, name: Any) -> None:
    provider.honest({**READER, "sub": "0005", "preferred_username": name})

    assert "name_claim" in problem_of(desk.sign_in())


def test_account_of_a_provider_has_no_password_and_ends_by_command(desk: Desk) -> None:
    desk.sign_in()
    for password in ("", PASSWORD):
        assert desk.served.person("quell", password).answer.status_code == 401

    with desk.served.database.writing() as session:
        for change in (
            lambda: set_password(session, "quell", PASSWORD, at=NOW),
            lambda: set_role(session, "quell", Role.ADMIN, at=NOW),
        ):
            with pytest.raises(Exception, match="are changed there"):
                change()
        remove_account(session, "quell")
    assert not desk.is_signed_in()


def test_sign_ins_are_entered_in_the_audit_with_who_it_was(desk: Desk, provider: Provider) -> None:
    desk.sign_in()
    provider.forge = lambda claims: provider.signed({**claims, "nonce": "x"})
    desk.sign_in()

    entered = list(deeds_of(desk.served.settings))[-4:]
    assert [(one["act"], one["who"], one["outcome"]) for one in entered] == [
        ("sign-in", "quell", "begun"),
        ("sign-in", "quell", "done"),
        ("sign-in", "unknown", "begun"),
        ("sign-in", "unknown", "refused"),
    ]


def test_sign_in_by_a_provider_is_off_by_default() -> None:
    assert not Settings.model_construct().console.oidc.is_offered
