"""What holds for every test: a misspelt DICOM keyword is an error, further images are optional."""

import pydicom.config
import pytest
from sample_images import skip_without_further_images

pydicom.config.INVALID_KEYWORD_BEHAVIOR = "RAISE"


def pytest_runtest_setup(item: pytest.Item) -> None:
    skip_without_further_images(item)
