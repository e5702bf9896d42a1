"""A child of the inference benchmark: a fresh process that prints the findings of one image."""

import sys
from pathlib import Path

from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName


def main() -> None:
    """Load a bundle by the engine named, analyse one file, print the highest score."""
    name, bundle, image = sys.argv[1:]
    engine = load_engine(Path(bundle), engine=EngineName(name))
    # As mammoclip-predict does it: what reads images is loaded while the model is compiled.
    from mammoclip_core.analysis.study_files import request_from

    (found,) = engine.analyze(request_from([Path(image)])).findings.analysed
    print(max(finding.score for finding in found.findings), flush=True)


if __name__ == "__main__":
    main()
