"""The inference benchmark runs and says what it promises to say; how fast, no test can know."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mammoclip_core.engines.openvino_library import computes_in

ROOT = Path(__file__).parents[3]
WAYS = {"official", "torch exact", "torch bfloat16", "openvino exact"} | (
    {"openvino bfloat16"} if computes_in("bfloat16") else set()
)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_quick_benchmark_reports_every_way(tmp_path: Path) -> None:
    out = tmp_path / "inference.json"
    command = [sys.executable, str(ROOT / "benchmarks/inference.py"), "--quick", "--json", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=1700)

    report = json.loads(out.read_text())
    forward = [row["details"] for row in report["rows"] if "way" in row["details"]]
    exact = [item for item in forward if item["way"] in {"torch exact", "openvino exact"}]
    measures = " ".join(row["measure"] for row in report["rows"])
    assert {(item["batch"], item["way"]) for item in forward} == {
        (batch, way) for batch in (1, 4) for way in WAYS
    }
    assert all(item["seconds_min"] > 0 and item["peak_bytes"] > 1e8 for item in forward)
    assert all(item["ceiling_share"] > 0 for item in forward)
    assert all(item["score_difference"] < 1e-4 for item in exact)
    assert all(item["feature_error"] < 5e-3 for item in exact)
    assert {"threads", "load_before", "versions"} <= report["conditions"].keys()
    for part in ("findings of one file, torch", "findings of one file, openvino", "plain loop"):
        assert part in measures
