"""Own results are recognised, by a module that costs nothing to import."""

import subprocess
import sys

from objects_factory import mammogram
from study_cases import CASES

from dicom_node.facts.own_result import is_own_result


def test_every_result_object_is_recognised() -> None:
    results = CASES["one finding"]()

    assert [is_own_result(result.dataset) for result in results] == [True, True, True]


def test_image_of_a_scanner_is_not_taken_for_a_result() -> None:
    assert not is_own_result(mammogram())


def test_image_without_equipment_is_not_taken_for_a_result() -> None:
    assert not is_own_result(mammogram(without=("Manufacturer",)))


def test_recognition_imports_neither_highdicom_nor_pydicom() -> None:
    code = "import mammoclip_core.images.header.own_result, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()

    assert not {"highdicom", "pydicom", "numpy", "cv2"} & set(loaded)
