"""What a training needs to go on after a kill: one file, written whole after each epoch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training.learning.finite import require_finite
from training.terminal import Say
from training.whole_file import whole_file


class RunState:
    """The file of one run: weights, optimizer and random numbers after its last whole epoch.

    Parameters
    ----------
    path : Path or None
        None keeps nothing, and takes nothing up.
    facts : settings, weights and tables that the run depends on
        A run with others begins anew, and says so.
    say : told of what is taken up, and of what is not
    is_writer : bool
        Of processes that train together one writes; the others only take up.
    """

    def __init__(
        self,
        path: Path | None,
        facts: Mapping[str, str],
        say: Say = lambda words: None,
        *,
        is_writer: bool = True,
    ) -> None:
        self._is_writer = is_writer
        self._path = path
        self._facts = dict(facts)
        self._say = say

    def take_up(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: np.random.Generator | None = None,
    ) -> dict[str, Any]:
        """Bring a network, its optimizer and random numbers to where the run was left.

        Returns
        -------
        dict
            What the loop gave to `keep`; empty where there is nothing to take up.
        """
        if self._path is None or not self._path.is_file():
            return {}
        kept = torch.load(self._path, map_location="cpu", weights_only=True)
        if kept["facts"] != self._facts:
            former = kept["facts"]
            differing = [name for name, own in self._facts.items() if former.get(name) != own]
            self._say(
                f"{self._path} is of a run with other settings ({', '.join(differing)}): "
                "training begins anew"
            )
            return {}
        if "network" in kept:
            network.load_state_dict(kept["network"])
            optimizer.load_state_dict(kept["optimizer"])
            torch.set_rng_state(kept["random"])
            if kept["random_cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(kept["random_cuda"])
            if generator is not None:
                generator.bit_generator.state = json.loads(kept["generator"])
        loop: dict[str, Any] = kept["loop"]
        self._say(f"taken up after epoch {loop['epoch'] + 1}, from {self._path}")
        return loop

    def keep(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loop: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> None:
        """Write the file; a kill leaves this one or the one before.

        Parameters
        ----------
        loop : plain values and tensors, among them ``epoch``, counted from 0, which has ended

        Raises
        ------
        DivergedError
            A weight is not finite: the file before stays. All processes raise it, and so does a
            run that keeps nothing.
        """
        weights = network.state_dict()
        require_finite(weights, f"the state after epoch {loop['epoch'] + 1}")
        if self._path is None or not self._is_writer:
            return
        further = {
            "network": weights,
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "generator": json.dumps(generator.bit_generator.state) if generator else "",
        }
        self._write(self._path, loop, further)

    def finish(self, loop: Mapping[str, Any]) -> None:
        """Write the file of a run whose last epoch has ended: what it leads to is in `loop`."""
        if self._path is not None and self._is_writer:
            self._write(self._path, loop, {})

    def _write(self, path: Path, loop: Mapping[str, Any], further: Mapping[str, Any]) -> None:
        with whole_file(path) as stream:
            torch.save({"facts": self._facts, "loop": dict(loop), **further}, stream)

    def forget(self) -> None:
        """Delete the file: what the run was for is written."""
        if self._path is not None and self._is_writer:
            self._path.unlink(missing_ok=True)


NOTHING_KEPT = RunState(None, {})
"""Of a run that is not taken up."""
