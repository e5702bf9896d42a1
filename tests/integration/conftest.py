"""Tests of several parts use the factories of the node's own tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dicom_node"))
