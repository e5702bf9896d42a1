"""A device that stopped answering is told from a study that cannot be analysed."""

import pytest
import torch

from mammoclip_core.engines.torch_computing import telling_short_memory
from mammoclip_core.errors import BatchMemoryError, DeviceError


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unspecified launch failure",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_error_of_the_gpu_is_the_devices(words: str) -> None:
    with (
        pytest.raises(DeviceError, match="stopped answering"),
        telling_short_memory(torch.device("cuda:0")),
    ):
        raise RuntimeError(words)


def test_other_errors_are_as_they_were() -> None:
    with pytest.raises(RuntimeError, match="shape"), telling_short_memory(torch.device("cpu")):
        raise RuntimeError("shape")
    with pytest.raises(BatchMemoryError), telling_short_memory(torch.device("cpu")):
        raise RuntimeError("not enough memory: you tried to allocate 1 byte")
