import pytest

from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.engines.devices import gpu_count
from worker.devices import default_concurrency, device_of


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        ("", 0),
        ("-1", 0),
        ("0", 1),
        ("0,1", 2),
        (" 0 , 1 ,", 2),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", 1),
    ],
)
def test_visible_gpus_are_counted(
    monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert gpu_count() == count
    assert default_concurrency() == (2 * count or 1)


@pytest.mark.parametrize(
    ("visible", "wish", "index", "device"),
    [
        ("", "auto", 0, "cpu"),
        ("", "auto", 3, "cpu"),
        ("", "cpu", 0, "cpu"),
        ("", "cuda", 0, "cuda"),
        ("0,1", "auto", 0, "cuda:0"),
        ("0,1", "auto", 1, "cuda:1"),
        ("0,1", "auto", 2, "cuda:0"),
        ("0,1", "cuda", 3, "cuda:1"),
        ("0,1", "cuda:1", 0, "cuda:1"),
        ("0,1", "cpu", 1, "cpu"),
    ],
)
def test_processes_share_the_gpus_out_among_them(
    monkeypatch: pytest.MonkeyPatch, visible: str, wish: str, index: int, device: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert device_of(wish, index) == device


def test_openvino_leaves_the_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    assert device_of("auto", 1, EngineName.OPENVINO) == "cpu"
