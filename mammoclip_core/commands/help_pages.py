"""Help pages whose paragraphs fill the terminal, as those of the project's three commands do."""

import inspect

import typer


def fill_paragraphs(app: typer.Typer) -> None:
    """Have the help of each command broken where the terminal ends, and not where its source is.

    Parameters
    ----------
    app : with all its commands and groups
    """
    for group in app.registered_groups:
        if group.typer_instance is not None:
            fill_paragraphs(group.typer_instance)
    for command in app.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        paragraphs = (" ".join(one.split()) for one in text.split("\n\n"))
        command.help = "\n\n".join(paragraphs)
