"""The command that holds ways of pretraining against each other: compare."""

from pathlib import Path
from typing import Annotated, Final

import typer

from training.commands.options import DeviceOption, MappingOption, OutOption
from training.terminal import one_line_errors, say

DEFAULT_SETTINGS: Final = (
    "--config tiny --data.settings.batch_size 16 --trainer.max_epochs 8 "
    "--model.learning_rate 0.001 --model.network.pooling mean --model.network.text_config "
    "'{hidden_size: 128, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 256, "
    "max_position_embeddings: 256}'"
)
"""Small enough for two processor cores, with a text encoder as the demonstration bundle's."""


@one_line_errors()
def compare(
    *,
    way: Annotated[
        list[str],
        typer.Option(
            help="NAME=ARGUMENTS: a way of pretraining, by further arguments of pretrain; may be "
            "repeated. Each is held against the baseline, which has none."
        ),
    ],
    out: OutOption,
    reports: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV: image-text table to pretrain on. Default: phantoms are made, for this and "
            "the table to judge by.",
        ),
    ] = None,
    vindr: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV: VinDr-Mammo's finding table, to judge by; its test part has other patients.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV or Parquet of your own, to judge by in place of --vindr: each of its labels "
            "is a task; its test part has other patients.",
        ),
    ] = None,
    mapping: MappingOption = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of pictures, that of --reports first; may be repeated.",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder with vocab.txt. Default: the demonstration bundle's.",
        ),
    ] = None,
    settings: Annotated[
        str, typer.Option(help="Arguments of pretrain that all ways have.")
    ] = DEFAULT_SETTINGS,
    seeds: Annotated[
        int, typer.Option(min=1, help="Models trained in each way; an interval needs two.")
    ] = 3,
    probe_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of linear probes. Default: the paper's.")
    ] = None,
    studies: Annotated[
        int, typer.Option(min=8, help="Phantom studies to train on, and as many to judge by.")
    ] = 120,
    rows: Annotated[
        int, typer.Option(min=64, max=1520, help="Height of phantoms in pixels.")
    ] = 190,
    columns: Annotated[
        int, typer.Option(min=64, max=912, help="Width of phantoms in pixels.")
    ] = 114,
    device: DeviceOption = "cpu",
) -> None:
    """Pretrain in several ways on the same data, and say by how much each differs from the first.

    Every way is trained once a seed and judged by zero-shot answers, linear probes and retrieval.
    Writes comparison.md and comparison.json into --out. A killed run goes on by the same command.

    Example: mammoclip-train compare --way 'local=--model.local_weight 1' --out compared
    """
    from mammoclip_core.bundles.demonstration import demonstration_bundle
    from mammoclip_core.manifest import TOKENIZER_FOLDER
    from training.data.table_mapping import read_mapping
    from training.errors import SettingsError
    from training.evaluation.comparison import (
        ComparisonData,
        ComparisonOrder,
        phantom_data,
    )
    from training.evaluation.comparison import (
        compare as run,
    )

    ways = _ways(way)
    findings = vindr or table
    given = [item is not None for item in (reports, findings, images)]
    if (any(given) and not all(given)) or (vindr and table) or (mapping and not table):
        raise SettingsError(
            "give --reports, --images and one of --vindr and --table together, or none of them; "
            "--mapping belongs to --table"
        )
    if reports is not None and findings is not None and images is not None:
        data = ComparisonData(
            reports=reports,
            findings=findings,
            images=tuple(images),
            is_own=table is not None,
            mapping=read_mapping(mapping) if mapping else None,
        )
    else:
        say(f"phantoms: twice {studies} studies")
        data = phantom_data(out / "phantoms", studies, (rows, columns))
    if tokenizer is None:
        tokenizer = demonstration_bundle() / TOKENIZER_FOLDER
    run(
        ComparisonOrder(
            data=data,
            ways=ways,
            settings=settings,
            tokenizer=tokenizer,
            out=out,
            seeds=seeds,
            probe_epochs=probe_epochs,
            device=device,
            say=say,
        )
    )
    typer.echo(out / "comparison.md")


def _ways(options: list[str]) -> dict[str, str]:
    """Read NAME=ARGUMENTS options."""
    from training.evaluation.comparison_runs import ways_of

    try:
        return ways_of(options)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--way") from error
