"""The commands ``mammoclip-node users`` and ``tokens``: who may use console and REST API."""

import sys
from datetime import timedelta
from typing import Annotated, Literal

import typer

from dicom_node.commands.terminal import ConfigOption, ledger_of, one_line_errors
from dicom_node.errors import NodeError

RoleOption = Annotated[
    Literal["viewer", "operator", "admin"],
    typer.Option(
        help="viewer: sees everything about studies. operator: retries, pauses and sends besides. "
        "admin: sees the settings, and erases besides."
    ),
]


def add_account_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (users, tokens):
        app.command()(command)


def users(
    action: Annotated[
        Literal["add", "list", "password", "role", "remove"],
        typer.Argument(
            help="add an account; list all; give one another password or role; remove one."
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the account.")] = "",
    role: RoleOption = "viewer",
    config: ConfigOption = None,
) -> None:
    """Make, list, change and remove accounts of the console.

    A password is asked for, or read from standard input; another one ends the sign-ins of its
    account.

    Example: mammoclip-node users add ward --role operator

    Example: mammoclip-node users list
    """
    from dicom_node.audit.acts import Act
    from dicom_node.audit_trail import audited
    from dicom_node.commands.account import account
    from dicom_node.sign_in import accounts
    from dicom_node.sign_in.roles import Role
    from dicom_node.studies.ledger.locks import database_time

    with one_line_errors(), ledger_of(config) as (settings, database):
        _require_name(action, name)
        if action == "list":
            with database.reading() as session:
                found = accounts.accounts(session)
            for one in found:
                by = "" if one.issuer is None else f"  by {one.issuer}"
                typer.echo(f"{one.name}  {one.role}{by}")
            return
        password = _asked_for() if action in {"add", "password"} else ""
        with (
            audited(
                settings,
                database,
                Act.USERS,
                who=account(),
                via="command",
                detail=_in_words(action, name, role),
            ),
            database.writing() as session,
        ):
            at = database_time(session)
            if action == "add":
                accounts.add_account(session, name, Role(role), password, at=at)
            elif action == "password":
                accounts.set_password(session, name, password, at=at)
            elif action == "role":
                accounts.set_role(session, name, Role(role), at=at)
            else:
                accounts.remove_account(session, name)
        done = {"add": f"may sign in as {role}", "role": f"is {role}", "remove": "is removed"}
        typer.echo(f"account {name} {done.get(action, 'has another password')}")


def tokens(
    action: Annotated[
        Literal["add", "list", "remove"],
        typer.Argument(help="add a token and print it, this once; list all; remove one."),
    ],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the token.")] = "",
    role: RoleOption = "viewer",
    days: Annotated[
        int, typer.Option(min=0, help="Days after which it no longer counts; 0: never.")
    ] = 365,
    config: ConfigOption = None,
) -> None:
    """Make, list and remove the tokens by which programs use the REST API.

    Example: mammoclip-node tokens add prometheus --role viewer

    Example: mammoclip-node tokens list
    """
    from dicom_node.audit.acts import Act
    from dicom_node.audit_trail import audited
    from dicom_node.commands.account import account
    from dicom_node.sign_in import tokens as known
    from dicom_node.sign_in.roles import Role
    from dicom_node.studies.ledger.locks import database_time

    with one_line_errors(), ledger_of(config) as (settings, database):
        _require_name(action, name)
        if action == "list":
            with database.reading() as session:
                found = known.tokens(session)
            for one in found:
                ends = one.expires_at
                until = "until it is removed" if ends is None else f"until {ends:%Y-%m-%d}"
                typer.echo(f"{one.name}  {one.role}  {until}")
            return
        with (
            audited(
                settings,
                database,
                Act.TOKENS,
                who=account(),
                via="command",
                detail=_in_words(action, name, role),
            ),
            database.writing() as session,
        ):
            if action == "remove":
                known.remove_token(session, name)
                said = f"token {name} is removed"
            else:
                at = database_time(session)
                ends = at + timedelta(days=days) if days else None
                said = known.add_token(session, name, Role(role), expires_at=ends, at=at)
        typer.echo(said)


def _require_name(action: str, name: str) -> None:
    if (action == "list") == bool(name):
        raise NodeError("list takes no name" if name else f"{action} needs a name")


def _in_words(action: str, name: str, role: str) -> str:
    return f"{action} {name} {role}" if action in {"add", "role"} else f"{action} {name}"


def _asked_for() -> str:
    """Return a new password: asked for twice, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
