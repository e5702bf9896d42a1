"""The benchmark of a whole site says what it promises to say; how fast, no test can know."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_benchmark_of_a_whole_site_reports_every_phase_and_process(tmp_path: Path) -> None:
    out = tmp_path / "end_to_end.json"
    command = [sys.executable, str(ROOT / "benchmarks/end_to_end.py"), "--json", str(out)]
    few = ["--studies", "1", "--together", "2", "--workers", "2"]
    waiting = ["--waiting-workers", "2", "--model-seconds", "1", "--rounds", "1"]
    subprocess.run([*command, *few, *waiting], check=True, capture_output=True, timeout=580)

    rows = json.loads(out.read_text())["rows"]
    measures = [row["measure"] for row in rows]
    phases = ("settled, after the grace", "claimed", "analysed", "taken to be sent", "sent")
    parts = ("reading", "engine: decoding", "engine: model", "result objects", "recording")
    assert {f"- {name}" for name in phases} <= set(measures)
    assert {f"- - {name}" for name in parts} <= set(measures)
    for process in ("broker", "archive", "node", "worker", "sender"):
        assert measures.count(f"- - {process}") == 3
    (shared,) = [row for row in rows if row["against"] == "ideal"]
    assert 0 < shared["ratio"] <= 1.1
    assert all(row["ours"] >= 0 for row in rows if "settled" not in row["measure"])
