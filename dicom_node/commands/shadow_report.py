"""What ``mammoclip-node shadow`` reports, as a document and as tables."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dicom_node.commands.tables import agreements_table, comparisons_table
from dicom_node.commands.terminal import print_table
from dicom_node.studies.shadow_comparison import Comparison, agreements


def shadow_document(compared: Sequence[Comparison]) -> dict[str, Any]:
    """Return the answers side by side, and how far they agree, for JSON."""
    return {
        "answers": [asdict(one) | {"difference": one.difference} for one in compared],
        "agreement": [asdict(one) for one in agreements(compared)],
    }


def print_shadows(compared: Sequence[Comparison]) -> None:
    """Print the same as tables."""
    print_table(comparisons_table(compared))
    print_table(agreements_table(agreements(compared)))
