"""The command that judges a bundle as the paper judges its models: evaluate."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    DeviceOption,
    EpochsOption,
    ImagesOption,
    LearningRateOption,
    MappingOption,
    OutOption,
    PresetOption,
    SeedOption,
    SkipUnreadableOption,
    WorkersOption,
)
from training.terminal import one_line_errors, say


@one_line_errors()
def evaluate(
    *,
    suite: Annotated[Literal["paper"], typer.Option(help="Set of evaluations to run.")] = "paper",
    bundle: Annotated[
        Path,
        typer.Option(exists=True, help="Bundle folder or pretraining checkpoint to evaluate."),
    ],
    vindr: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV: VinDr-Mammo's finding table."),
    ] = None,
    rsna: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="CSV: RSNA's train.csv.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV or Parquet of your own: each of its labels is a task.",
        ),
    ] = None,
    mapping: MappingOption = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Image-text table, for retrieval: its fold 0 is judged. Without folds, the "
            "patients that pretrain holds out of such a table.",
        ),
    ] = None,
    images: ImagesOption,
    out: OutOption,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="NAME=BUNDLE of a model to compare with; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Part to run: zero-shot, probe, finetune, retrieval, localisation, detection or "
            "blobs; may be repeated. Default: all."
        ),
    ] = None,
    preset: PresetOption = "paper",
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    percent: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=100,
            help="Percent of the training data to train on; may be repeated. "
            "Default: 10, 50 and 100.",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=20, help="Bootstrap samples for each 95 % interval.")
    ] = 1000,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Trial run: 2 epochs, 100 % only, 200 bootstrap samples."),
    ] = False,
    seed: SeedOption = 10,
    skip_unreadable: SkipUnreadableOption = False,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 0,
) -> None:
    """Evaluate a bundle as the paper evaluates its models, beside the published figures.

    Parts whose table is missing are left out. Writes evaluation.md, evaluation.json, plots and
    trained heads into the folder --out.

    Example: mammoclip-train evaluate --suite paper --bundle b5 --vindr finding_annotations.csv
    --rsna train.csv --images vindr-png --images rsna-png --out paper
    """
    from training.data.table_mapping import read_mapping
    from training.evaluation.bundle_evaluation import EvaluationOrder
    from training.evaluation.bundle_evaluation import evaluate as run
    from training.learning.ranks import joined

    ranks = joined(device)
    order = EvaluationOrder(
        bundle=bundle,
        vindr=vindr,
        rsna=rsna,
        table=table,
        mapping=read_mapping(mapping) if mapping else None,
        reports=reports,
        images=tuple(images),
        out=out,
        beside=_named(beside),
        only=tuple(only or ()),
        preset=preset,
        epochs=2 if quick and epochs is None else epochs,
        learning_rate=learning_rate,
        percents=tuple(percent or ((100,) if quick else (10, 50, 100))),
        repeats=min(repeats, 200) if quick else repeats,
        seed=seed,
        device=ranks.device,
        workers=workers,
        ranks=ranks,
        skip_unreadable=skip_unreadable,
        say=say,
    )
    run(order)
    if ranks.is_first:
        typer.echo(out / "evaluation.md")


def _named(options: list[str] | None) -> dict[str, Path]:
    """Read NAME=BUNDLE options."""
    bundles: dict[str, Path] = {}
    for text in options or ():
        name, separator, folder = text.partition("=")
        is_word = name.replace("-", "").replace("_", "").isalnum()
        if not separator or not is_word or name in bundles or not Path(folder).exists():
            raise typer.BadParameter(
                f"{text}: give NAME=BUNDLE with an existing bundle and a name of letters, digits, "
                "- and _ that is used once",
                param_hint="--beside",
            )
        bundles[name] = Path(folder)
    return bundles
