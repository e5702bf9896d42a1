"""The options ``--node`` and its own: which node a command speaks to, this one or one elsewhere."""

import copy
from pathlib import Path
from typing import Annotated, Any

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


class HereOrElsewhere(TyperGroup):
    """Takes each command as it is, or with ``--node`` as it is done at a node elsewhere."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command: its arguments and options are the same wherever the node is."""
        command = super().get_command(ctx, cmd_name)
        if command is None or ctx.params.get("node") is None:
            return command
        elsewhere = copy.copy(command)
        options = dict(ctx.params)

        def run(**values: Any) -> None:
            _run_elsewhere(cmd_name, options, values)

        elsewhere.callback = run
        return elsewhere


def _run_elsewhere(name: str, options: dict[str, Any], values: dict[str, Any]) -> None:
    import os

    from dicom_node.commands.remote.commands import ELSEWHERE
    from dicom_node.commands.remote.node_elsewhere import node_elsewhere

    with one_line_errors():
        if name not in ELSEWHERE:
            raise NodeError(
                f"{name} works on the machine of the node alone: run it there, without --node"
            )
        node = node_elsewhere(
            options["node"],
            token=os.environ.get("MAMMOCLIP_TOKEN", ""),
            token_file=options["token_file"],
            certificate_authorities=options["node_authorities"],
        )
        ELSEWHERE[name](node, values)
