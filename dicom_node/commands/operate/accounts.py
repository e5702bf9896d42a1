"""The commands ``mammoclip-node users`` and ``tokens``: who may use console and REST API."""

import sys
from datetime import timedelta
from typing import Annotated

import typer

from dicom_node.commands.terminal import ConfigOption, ledger_of, one_line_errors

users = typer.Typer(name="users", help="Accounts of the console.", no_args_is_help=True)
tokens = typer.Typer(
    name="tokens", help="Tokens by which programs use the REST API.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")]
TokenArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the token.")]
RoleOption = Annotated[
    str,
    typer.Option(
        help="viewer: sees everything about studies. operator: retries, pauses and sends besides. "
        "admin: settings, erasing."
    ),
]


@users.command("add")
def add_user(name: NameArgument, role: RoleOption = "viewer", config: ConfigOption = None) -> None:
    """Make an account; the password is asked for, or read from standard input.

    Example: mammoclip-node users add ward --role operator
    """
    from dicom_node.sign_in.accounts import add_account
    from dicom_node.sign_in.roles import role_named
    from dicom_node.studies.ledger.locks import database_time

    with one_line_errors(), ledger_of(config) as (_, database):
        known, password = role_named(role), _asked_for()
        with database.writing() as session:
            add_account(session, name, known, password, at=database_time(session))
        typer.echo(f"account {name} may sign in as {known}")


@users.command("password")
def change_password(name: NameArgument, config: ConfigOption = None) -> None:
    """Give an account another password, and end its sign-ins.

    Example: mammoclip-node users password ward
    """
    from dicom_node.sign_in.accounts import set_password
    from dicom_node.studies.ledger.locks import database_time

    with one_line_errors(), ledger_of(config) as (_, database):
        password = _asked_for()
        with database.writing() as session:
            set_password(session, name, password, at=database_time(session))
        typer.echo(f"account {name} has another password")


@users.command("role")
def change_role(
    name: NameArgument,
    role: Annotated[str, typer.Argument(help="viewer, operator or admin.")],
    config: ConfigOption = None,
) -> None:
    """Give an account another role.

    Example: mammoclip-node users role ward viewer
    """
    from dicom_node.sign_in.accounts import set_role
    from dicom_node.sign_in.roles import role_named
    from dicom_node.studies.ledger.locks import database_time

    with one_line_errors(), ledger_of(config) as (_, database):
        known = role_named(role)
        with database.writing() as session:
            set_role(session, name, known, at=database_time(session))
        typer.echo(f"account {name} is {known}")


@users.command("remove")
def remove_user(name: NameArgument, config: ConfigOption = None) -> None:
    """Remove an account, and end its sign-ins.

    Example: mammoclip-node users remove ward
    """
    from dicom_node.sign_in.accounts import remove_account

    with one_line_errors(), ledger_of(config) as (_, database):
        with database.writing() as session:
            remove_account(session, name)
        typer.echo(f"account {name} is removed")


@users.command("list")
def list_users(config: ConfigOption = None) -> None:
    """List the accounts with their roles.

    Example: mammoclip-node users list
    """
    from dicom_node.sign_in.accounts import accounts

    with one_line_errors(), ledger_of(config) as (_, database):
        with database.reading() as session:
            found = accounts(session)
        for one in found:
            typer.echo(f"{one.name}  {one.role}")


@tokens.command("add")
def new_token(
    name: TokenArgument,
    role: RoleOption = "viewer",
    days: Annotated[
        int, typer.Option(min=0, help="Days after which it no longer counts; 0: never.")
    ] = 365,
    config: ConfigOption = None,
) -> None:
    """Make a token and print it: it is shown this once, and kept nowhere.

    Example: mammoclip-node tokens add prometheus --role viewer
    """
    from dicom_node.sign_in.roles import role_named
    from dicom_node.sign_in.tokens import add_token
    from dicom_node.studies.ledger.locks import database_time

    with one_line_errors(), ledger_of(config) as (_, database):
        known = role_named(role)
        with database.writing() as session:
            at = database_time(session)
            ends = at + timedelta(days=days) if days else None
            secret = add_token(session, name, known, expires_at=ends, at=at)
        typer.echo(secret)


@tokens.command("remove")
def drop_token(name: TokenArgument, config: ConfigOption = None) -> None:
    """Remove a token: it counts no more.

    Example: mammoclip-node tokens remove prometheus
    """
    from dicom_node.sign_in.tokens import remove_token

    with one_line_errors(), ledger_of(config) as (_, database):
        with database.writing() as session:
            remove_token(session, name)
        typer.echo(f"token {name} is removed")


@tokens.command("list")
def list_tokens(config: ConfigOption = None) -> None:
    """List the tokens with their roles, without their secrets.

    Example: mammoclip-node tokens list
    """
    from dicom_node.sign_in.tokens import tokens as known

    with one_line_errors(), ledger_of(config) as (_, database):
        with database.reading() as session:
            found = known(session)
        for one in found:
            until = f"until {one.expires_at:%Y-%m-%d}" if one.expires_at else "until it is removed"
            typer.echo(f"{one.name}  {one.role}  {until}")


def _asked_for() -> str:
    """Return a new password: asked for twice, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
