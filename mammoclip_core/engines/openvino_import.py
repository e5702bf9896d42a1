"""OpenVINO, imported without its reports of use to a server of its vendor."""

import sys

# Each import and conversion would be reported over the internet, by a forked process, unless the
# user's home says otherwise. Without that package OpenVINO has a stand-in that sends nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # means: not to be found

import openvino as ov  # noqa: E402  the line above has to come first
from openvino import opset13 as ops  # noqa: E402  as before

__all__ = ["ops", "ov"]
