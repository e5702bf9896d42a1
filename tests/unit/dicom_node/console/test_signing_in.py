"""People sign in with a password, are told apart from guessers, and are signed out for good."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from console_factory import PASSWORD, Served
from node_factory import NOW, after
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.console.views.sign_in import WrongPasswordError, _begun
from dicom_node.errors import NodeError
from dicom_node.sign_in.accounts import (
    add_account,
    remove_account,
    set_password,
    set_role,
)
from dicom_node.sign_in.attempts import Attempts, TooManyAttemptsError
from dicom_node.sign_in.passwords import WeakPasswordError, hash_of, is_right
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.sign_ins import (
    Limits,
    begin_sign_in,
    end_sign_in,
    known_password,
    note_use,
    signed_in,
)
from dicom_node.sign_in.tokens import add_token, remove_token, token_of
from dicom_node.studies.ledger.accounts.account_tables import Account, ApiToken, SignedIn
from dicom_node.studies.ledger.database import Database

LIMITS = Limits(idle=timedelta(minutes=30), longest=timedelta(hours=12))


def test_person_signs_in_and_out_and_the_secret_counts_no_more(served: Served) -> None:
    person = served.person("viewer")
    assert person.answer.status_code == 303
    cookie = person.answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert person.get("/studies").status_code == 200
    kept = dict(person.session.cookies)

    assert person.post("/sign-out").status_code == 303

    answer = requests.get(f"{served.url}/studies", cookies=kept, timeout=30, allow_redirects=False)
    assert answer.headers["Location"] == "/sign-in?next=/studies"


def test_each_sign_in_has_a_secret_of_its_own(served: Served) -> None:
    first, second = served.person("viewer"), served.person("viewer")

    assert dict(first.session.cookies) != dict(second.session.cookies)


def test_secret_that_somebody_else_has_chosen_is_not_taken_over(served: Served) -> None:
    planted = requests.Session()
    planted.cookies.set("mammoclip_sign_in", "chosen-by-an-attacker", domain="127.0.0.1")
    planted.post(
        f"{served.url}/sign-in",
        data={"name": "viewer", "password": PASSWORD},
        timeout=30,
        allow_redirects=False,
    )

    answer = served.get("/studies", headers={"Cookie": "mammoclip_sign_in=chosen-by-an-attacker"})

    assert answer.status_code == 303


def test_password_that_is_changed_while_it_is_judged_begins_no_sign_in(database: Database) -> None:
    with database.writing() as session:
        add_account(session, "anna", Role.VIEWER, PASSWORD, at=NOW)
        known = known_password(session, "anna")
    attempts = Attempts(lambda: 0.0)
    site: Any = SimpleNamespace(database=database, attempts=attempts, limits=LIMITS)
    with database.writing() as session:
        set_password(session, "anna", f"{PASSWORD} and more", at=NOW)

    with pytest.raises(WrongPasswordError):
        _begun(site, "anna", PASSWORD, known, "127.0.0.1")

    with database.reading() as session:
        assert session.scalars(select(SignedIn)).all() == []


def test_wrong_password_and_unknown_name_are_told_alike(served: Served) -> None:
    wrong = served.person("viewer", "something else entirely").answer
    unknown = served.person("nobody", "something else entirely").answer

    assert wrong.status_code == unknown.status_code == 401
    assert "Name or password is wrong." in wrong.text
    assert wrong.text == unknown.text


def test_form_with_the_token_of_another_sign_in_is_refused(served: Served) -> None:
    mine, other = served.person("operator"), served.person("operator")

    answers = [
        mine.post("/pauses", csrf=token, data={"what": "node"})
        for token in ("", "0" * 64, other.form_token())
    ]

    assert [one.status_code for one in answers] == [403] * 3
    assert "Nothing is paused" in mine.get("/pauses").text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_request_from_a_page_of_another_site_is_refused(
    served: Served, headers: dict[str, str]
) -> None:
    person = served.person("operator")

    assert person.post("/pauses", data={"what": "node"}, headers=headers).status_code == 403
    answer = requests.post(
        f"{served.url}/sign-in",
        data={"name": "viewer", "password": PASSWORD},
        headers=headers,
        timeout=30,
        allow_redirects=False,
    )
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["//attacker.example", "https://attacker.example", "/\\attacker.example", "javascript:x", ""],
)
def test_sign_in_leads_to_no_other_site(served: Served, path: str) -> None:
    answer = requests.post(
        f"{served.url}/sign-in",
        data={"name": "viewer", "password": PASSWORD, "next": path},
        timeout=30,
        allow_redirects=False,
    )

    assert answer.headers["Location"] == "/"


def test_guesser_waits_longer_and_longer_at_one_address() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(5):
        attempts.require_free("ward", "10.0.0.1")
        attempts.note_wrong("ward", "10.0.0.1")

    with pytest.raises(TooManyAttemptsError):
        attempts.require_free("WARD", "10.0.0.1")
    attempts.require_free("ward", "10.0.0.2")  # the person at her own desk is not locked out
    now[0] = 6.0
    attempts.require_free("ward", "10.0.0.1")
    attempts.note_wrong("ward", "10.0.0.1")
    now[0] = 12.0
    with pytest.raises(TooManyAttemptsError):
        attempts.require_free("ward", "10.0.0.1")


def test_guesser_of_many_names_waits_too() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(20):
        attempts.note_wrong(f"name{number}", "10.0.0.1")

    with pytest.raises(TooManyAttemptsError):
        attempts.require_free("another", "10.0.0.1")


def test_right_password_is_forgotten_as_a_guess() -> None:
    attempts = Attempts(lambda: 0.0)
    for _ in range(9):
        attempts.note_wrong("ward", "10.0.0.1")
        attempts.note_right("ward", "10.0.0.1")

    attempts.require_free("ward", "10.0.0.1")


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "x" * 257, "somebodys.name"])
def test_password_that_is_easy_to_guess_is_refused(password: str) -> None:
    with pytest.raises(WeakPasswordError) as caught:
        hash_of(password, name="somebodys.name")

    assert password not in str(caught.value)


def test_hash_is_argon2id_with_64_mebibytes_and_a_salt() -> None:
    first, second = hash_of(PASSWORD), hash_of(PASSWORD)

    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert first != second
    assert is_right(PASSWORD, first)
    assert not is_right(PASSWORD + ".", first)
    assert not is_right(PASSWORD, "")
    assert not is_right("nobody has this", None)


@pytest.fixture
def person_id(session: Session) -> int:
    session.add(
        Account(name="ward", role="operator", password_hash="-", created_at=NOW, changed_at=NOW)
    )
    session.flush()
    found = known_password(session, "ward")
    assert found is not None
    return found[0]


def test_sign_in_ends_after_its_time(session: Session, person_id: int) -> None:
    secret = begin_sign_in(session, person_id, limits=LIMITS, at=NOW)

    assert signed_in(session, secret, limits=LIMITS, at=after(1799)) is not None
    assert signed_in(session, secret, limits=LIMITS, at=after(1801)) is None
    for minutes in range(0, 12 * 60, 25):
        note_use(session, secret, at=after(60 * minutes))
    assert signed_in(session, secret, limits=LIMITS, at=after(12 * 3600 - 60)) is not None
    assert signed_in(session, secret, limits=LIMITS, at=after(12 * 3600 + 1)) is None


def test_ledger_holds_no_secret_of_a_sign_in(session: Session, person_id: int) -> None:
    secret = begin_sign_in(session, person_id, limits=LIMITS, at=NOW)
    token = add_token(session, "prometheus", Role.VIEWER, expires_at=None, at=NOW)

    kept = [row.secret_digest for row in session.query(SignedIn)]
    kept += [row.secret_digest for row in session.query(ApiToken)]
    assert secret not in kept
    assert token not in kept
    end_sign_in(session, secret)
    assert signed_in(session, secret, limits=LIMITS, at=NOW) is None


def test_changes_of_an_account_count_at_once(session: Session, person_id: int) -> None:
    secret = begin_sign_in(session, person_id, limits=LIMITS, at=NOW)
    set_role(session, "ward", Role.VIEWER, at=NOW)
    person = signed_in(session, secret, limits=LIMITS, at=NOW)
    assert person is not None
    assert person.role is Role.VIEWER

    set_password(session, "ward", PASSWORD, at=NOW)
    assert signed_in(session, secret, limits=LIMITS, at=NOW) is None

    second = begin_sign_in(session, person_id, limits=LIMITS, at=NOW)
    remove_account(session, "ward")
    assert signed_in(session, second, limits=LIMITS, at=NOW) is None


def test_name_is_taken_once(session: Session, person_id: int) -> None:
    with pytest.raises(NodeError, match="already"):
        add_account(session, "ward", Role.ADMIN, PASSWORD, at=NOW)
    with pytest.raises(NodeError, match="no name"):
        add_account(session, "a b", Role.ADMIN, PASSWORD, at=NOW)


def test_token_counts_until_it_expires_or_is_removed(session: Session) -> None:
    secret = add_token(session, "prometheus", Role.VIEWER, expires_at=after(60), at=NOW)

    found = token_of(session, secret, at=after(59))
    assert found is not None
    assert found.role is Role.VIEWER
    assert token_of(session, secret, at=after(60)) is None
    assert token_of(session, secret + "x", at=NOW) is None
    remove_token(session, "prometheus")
    assert token_of(session, secret, at=NOW) is None


def test_roles_hold_what_is_before_them() -> None:
    assert Role.ADMIN.holds(Role.VIEWER)
    assert Role.OPERATOR.holds(Role.OPERATOR)
    assert not Role.VIEWER.holds(Role.OPERATOR)
