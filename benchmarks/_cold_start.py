"""A child of the inference benchmark: a fresh process that says one image's findings and ends."""

import sys
from pathlib import Path

from mammoclip_core.engine import Engine
from mammoclip_core.requests import request_from


def main() -> None:
    """Load a bundle by the engine named, analyse one file, print the highest score."""
    way, bundle, image = sys.argv[1:]
    if way == "openvino":
        from mammoclip_core.openvino_model import load_openvino

        model, boxes = load_openvino(Path(bundle))
        engine = Engine(model, boxes=boxes)
    else:
        from mammoclip_core.bundle import load_engine

        engine = load_engine(Path(bundle))
    (found,) = engine.analyze(request_from([Path(image)])).findings.analysed
    print(max(finding.score for finding in found.findings), flush=True)


if __name__ == "__main__":
    main()
