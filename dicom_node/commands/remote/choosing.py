"""The options ``--node`` and its own: which node a command speaks to, this one or one elsewhere."""

import copy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from dicom_node.commands.terminal import one_line_errors
from dicom_node.errors import NodeError

NodeOption = Annotated[
    str | None,
    typer.Option(
        "--node",
        envvar="MAMMOCLIP_NODE",
        metavar="URL",
        help="Speak to the node whose console has this address, by its REST API, instead of the "
        "one of this machine. Its token comes from MAMMOCLIP_TOKEN or --token-file.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="MAMMOCLIP_TOKEN_FILE",
        exists=True,
        dir_okay=False,
        help="File whose first line is the token. Only with --node.",
    ),
]
NodeAuthoritiesOption = Annotated[
    Path | None,
    typer.Option(
        "--node-authorities",
        envvar="MAMMOCLIP_NODE_AUTHORITIES",
        exists=True,
        dir_okay=False,
        help="PEM file of the authorities of that node's certificate. Default: those of the "
        "system. Only with --node.",
    ),
]


NEED_NO_NODE: Final = frozenset({"init", "inspect", "render", "validate", "verify-receipt"})
"""Commands that need no node: they work where they are run, with ``--node`` or without."""

AT_THE_NODE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "serve": "since it is the node",
        "run": "since it fetches for hours into its spool, by its AE title",
        "back-up": "since it copies the spool to a disk of that machine",
        "migrate-back": "since the node must be stopped",
        "users": "so that no token that was stolen can make itself an account",
        "tokens": "so that no token that was stolen can make itself another",
    }
)
"""Commands that no token of the REST API gives to anybody, and why."""


class HereOrElsewhere(TyperGroup):
    """Takes each command as it is, or with ``--node`` as it is done at a node elsewhere."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command: its arguments and options are the same wherever the node is."""
        command = super().get_command(ctx, cmd_name)
        options = dict(ctx.find_root().params)
        if command is None or options.get("node") is None or isinstance(command, TyperGroup):
            return command
        name = cmd_name if ctx.parent is None else f"{ctx.info_name} {cmd_name}"
        if name in NEED_NO_NODE:
            return command
        elsewhere = copy.copy(command)

        def run(**values: Any) -> None:
            _run_elsewhere(name, options, values)

        elsewhere.callback = run
        return elsewhere


def _run_elsewhere(name: str, options: dict[str, Any], values: dict[str, Any]) -> None:
    import os

    from dicom_node.commands.remote.commands import ELSEWHERE
    from dicom_node.commands.remote.node_elsewhere import node_elsewhere

    with one_line_errors():
        if name in AT_THE_NODE:
            raise NodeError(
                f"{name} works on the machine of the node alone, {AT_THE_NODE[name]}: run it "
                "there, without --node"
            )
        node = node_elsewhere(
            options["node"],
            token=os.environ.get("MAMMOCLIP_TOKEN", ""),
            token_file=options["token_file"],
            certificate_authorities=options["node_authorities"],
        )
        ELSEWHERE[name](node, values)
