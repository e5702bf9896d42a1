"""``make bench``: run every benchmark of this folder and print one table."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from parts.report import Report, read_report, show


def main() -> int:
    """Run them one after the other; returns 1 if any could not be run."""
    argparse.ArgumentParser(
        prog="benchmarks",
        description="Run every benchmark, one after the other, and print one table; takes hours. "
        "For one of them: python benchmarks/receive.py --help",
    ).parse_args()
    here = Path(__file__).parent
    reports: list[Report] = []
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for script in sorted(here.glob("[!_]*.py")):
            print(f"== {script.name}", flush=True)
            out = Path(scratch) / f"{script.stem}.json"
            done = subprocess.run(
                [sys.executable, str(script), "--json", str(out)],
                stdout=subprocess.DEVNULL,
                check=False,
            )
            if done.returncode == 0:
                reports.append(read_report(out))
            else:
                failed.append(script.name)
    show(reports)
    for name in failed:
        print(f"{name} could not be run: its reason stands above")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
