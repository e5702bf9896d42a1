"""The node's ledger, read as a user reads it: through ``mammoclip-node``."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.demo.errors import DemonstrationError

UNDER_WAY: Final = frozenset({"receiving", "waiting", "analysing", "delivering"})
"""Conditions of a study that will still change without a user."""


@dataclass(frozen=True, slots=True)
class LedgerCommands:
    """The node's commands with the environment of one run."""

    environment: Mapping[str, str]

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Return each study's condition and its reason, by Study Instance UID."""
        document = self._ask("studies", "--limit", "1000")
        return {
            one["study_instance_uid"]: (one["condition"], one["reason"])
            for one in document["studies"]
        }

    def set_aside(self) -> list[str]:
        """Return why objects without a study were set aside, one line for each object."""
        document = self._ask("studies", "--limit", "1000")
        return [f"{one['reason']}: {one['detail']}" for one in document["set_aside"]]

    def details(self, study_instance_uid: str) -> dict[str, Any]:
        """Return all that is known of one study."""
        return self._ask("show", study_instance_uid)

    def _ask(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "dicom_node.commands.node", *words, "--json"]
        done = subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DemonstrationError(f"mammoclip-node {words[0]} failed: {done.stderr.strip()}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document
