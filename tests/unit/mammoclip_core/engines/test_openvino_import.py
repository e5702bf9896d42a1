"""OpenVINO is used without telling its vendor."""

import subprocess
import sys


def test_use_of_the_engine_is_reported_to_nobody() -> None:
    code = (
        "import mammoclip_core.engines.openvino_library, sys; "
        "print(*(name for name, module in sys.modules.items() "
        "if name.startswith('openvino_telemetry') and module is not None))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
