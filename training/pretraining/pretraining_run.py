"""``mammoclip-train pretrain``: settings from a file, then Lightning's loop."""

import logging
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from mammoclip_core.errors import MissingLibraryError
from mammoclip_core.freed_memory import keep_freed_memory
from training.errors import SettingsError
from training.pretraining.checkpoints import (
    Checkpoints,
    FreeOptions,
    PublishedCheckpoints,
    WholeCheckpoints,
)
from training.pretraining.cost import estimate
from training.pretraining.data_module import PretrainingData
from training.pretraining.pretraining_module import Pretraining
from training.pretraining.trainer_options import is_of_lightning, require_usable_options
from training.terminal import install_hint, say

CONFIGURATIONS: Final = ("b5", "b2", "tiny")
"""Settings that come with the package, named without their ending."""

FINISHED: Final = "finished.ckpt"

_INSTEAD: Final = {
    "gradient_clip_val": "use --model.gradient_clip in place of --trainer.gradient_clip_val",
    "accumulate_grad_batches": "use a larger --data.settings.batch_size with --model.chunk_size "
    "in place of --trainer.accumulate_grad_batches",
}
"""What Lightning's trainer cannot do for a loss over the whole batch, and what does."""


def pretrain(
    arguments: Sequence[str],
    module: type[Pretraining] = Pretraining,
    data: type[PretrainingData] = PretrainingData,
) -> None:
    """Train as the arguments and settings files say; goes on where a killed run stopped.

    ``--config`` takes a file or one of `CONFIGURATIONS`; ``--resume last`` takes up the newest
    checkpoint of the output folder if there is one, ``--resume FILE`` that file.

    Parameters
    ----------
    module, data : what is trained and what it reads; their parameters are the settings

    Raises
    ------
    SettingsError
        Lightning refuses an option of the trainer.
    DivergedError
        A loss or a weight is no longer finite; the last checkpoint is the one before.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with _saying_what_is_refused():
        _run(arguments, module, data)


def require_usable_arguments(
    arguments: Sequence[str],
    module: type[Pretraining] = Pretraining,
    data: type[PretrainingData] = PretrainingData,
) -> None:
    """Refuse arguments that `pretrain` would, as far as their names and kinds tell.

    Raises
    ------
    SettingsError
        One is not known, or its value is of another kind.
    """
    with _saying_what_is_refused():
        _command_line(arguments, module, data, kind=_ParsedCommandLine)


@contextmanager
def _saying_what_is_refused() -> Iterator[None]:
    try:
        yield
    except ArgumentError as error:
        raise SettingsError(
            f"{_one_line(error)}; mammoclip-train pretrain --help lists the settings"
        ) from error
    except MisconfigurationException as error:
        refused = _one_line(error)
        instead = "; ".join(ours for theirs, ours in _INSTEAD.items() if theirs in refused)
        raise SettingsError(
            f"Lightning refuses an option of --trainer: {instead or refused}"
        ) from error


def _command_line(
    arguments: Sequence[str],
    module: type[Pretraining],
    data: type[PretrainingData],
    *,
    kind: "type[_CommandLine]",
) -> "_CommandLine":
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LightningCLI's args parameter")  # they are ours to give
        return kind(
            module,
            data,
            run=False,
            args=[_expanded(item) for item in arguments],
            seed_everything_default=10,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "mammoclip-train pretrain", "exit_on_error": False},
        )


def _run(arguments: Sequence[str], module: type[Pretraining], data: type[PretrainingData]) -> None:
    cli = _command_line(arguments, module, data, kind=_CommandLine)
    if cli.trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    if cli.config["dry_run"]:
        for line in estimate(cli.trainer, cli.model, cli.datamodule).lines():
            say(line)
        return
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=_checkpoint(cli))
    except (TypeError, ValueError) as error:
        if not is_of_lightning(error):
            raise
        raise MisconfigurationException(_one_line(error)) from error
    cli.trainer.save_checkpoint(Path(cli.config["out"]) / "checkpoints" / FINISHED)


class _CommandLine(LightningCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--out",
            default="pretraining",
            help="Folder for checkpoints, logs and published weights.",
        )
        parser.add_argument(
            "--checkpoint_steps",
            type=int,
            default=0,
            help="Batches between checkpoints; 0: a checkpoint every ten minutes.",
        )
        parser.add_argument(
            "--wandb",
            default="",
            help="Weights & Biases project to log to besides TensorBoard; empty: none.",
        )
        parser.add_argument(
            "--dry_run",
            type=bool,
            default=False,
            help="Say how many pictures, steps and hours the run takes on this machine, by timing "
            "a few batches; train and write nothing.",
        )
        parser.add_argument(
            "--resume",
            default="last",
            help="Checkpoint to continue from: last (the newest in --out), none, or a file.",
        )

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        from lightning.pytorch.loggers import TensorBoardLogger

        out = Path(self.config["out"])
        trainer = self.config["trainer"]
        require_usable_options(trainer)
        kwargs["default_root_dir"] = str(out)
        kwargs["use_distributed_sampler"] = False  # the batches know their rank
        kwargs["callbacks"] = [
            *(self.config_init["trainer"].get("callbacks") or ()),
            Checkpoints(str(out / "checkpoints"), every_n_steps=self.config["checkpoint_steps"]),
            PublishedCheckpoints(str(out / "published")),
            FreeOptions(
                {
                    "--seed_everything": self.config["seed_everything"],
                    "--trainer.sync_batchnorm": trainer["sync_batchnorm"],
                }
            ),
        ]
        if trainer.get("plugins") is None:
            kwargs["plugins"] = [WholeCheckpoints()]
        if trainer.get("logger") is None:
            loggers: list[Any] = [TensorBoardLogger(out, name="tensorboard", version="")]
            if self.config["wandb"]:
                loggers.append(_wandb_logger(self.config["wandb"], out))
            kwargs.setdefault("logger", loggers)
        try:
            return super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError) as error:
            # Lightning checks some of its options by themselves, others as plain arguments.
            raise MisconfigurationException(_one_line(error)) from error


class _ParsedCommandLine(_CommandLine):
    """Reads its arguments, and makes nothing of them."""

    def _set_seed(self) -> None:
        """Leave random numbers as they are."""

    def instantiate_classes(self) -> None:
        require_usable_options(self.config["trainer"])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _wandb_logger(project: str, out: Path) -> Any:
    """Return the logger; ``WANDB_MODE=offline`` keeps all of it on this machine."""
    try:
        import wandb  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            f"logging to Weights & Biases needs wandb: {install_hint('wandb')}"
        ) from error
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project=project, save_dir=out)


def _expanded(argument: str) -> str:
    """Turn the name of a shipped configuration into its path."""
    name = argument.removeprefix("--config=")
    if name not in CONFIGURATIONS:
        return argument
    path = str(files("training.pretraining") / "configs" / f"{name}.yaml")
    return path if name == argument else f"--config={path}"


def _checkpoint(cli: LightningCLI) -> str | None:
    resume = cli.config["resume"]
    if resume == "none":
        return None
    if resume != "last":
        return str(resume)
    last = Path(cli.config["out"]) / "checkpoints" / "last.ckpt"
    return str(last) if last.is_file() else None
