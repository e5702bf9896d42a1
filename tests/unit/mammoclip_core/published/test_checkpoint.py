"""Files from outside: read as values, or refused with the reason."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import configuration, omegaconf_list
from hypothesis import given, settings
from hypothesis import strategies as st
from published_files import NumPy1Pickler

from mammoclip_core.errors import CheckpointError
from mammoclip_core.published.checkpoint import plain, read_checkpoint, tensors_of
from mammoclip_core.published.checkpoint_layout import setting


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.tar"


class Touching:
    """Makes a file when it is read by a reader that runs code."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_plain_values_come_back(path: Path) -> None:
    content = {"model": {"a": torch.ones(2)}, "epoch": 7, "config": configuration()}
    torch.save(content, path)

    read = read_checkpoint(path)

    assert read["model"]["a"].tolist() == [1, 1]
    assert (read["epoch"], read["config"]) == (7, configuration())


def test_lists_of_a_configuration_library_become_lists(path: Path) -> None:
    with omegaconf_list([0.8, 1.2]) as scale:
        torch.save({"config": {"transform": {"affine_scale": scale}}}, path)

    assert read_checkpoint(path)["config"] == {"transform": {"affine_scale": [0.8, 1.2]}}


@pytest.mark.parametrize("pickler", [pickle.Pickler, NumPy1Pickler])
def test_scores_of_numpy_become_numbers(path: Path, pickler: Any) -> None:
    content = {"best_MAP": np.float64(0.5), "predictions": np.zeros(3, np.float32)}
    module = type("Module", (), {"Pickler": pickler, "__name__": "pickle"})
    torch.save(content, path, pickle_module=module)

    assert read_checkpoint(path) == {"best_MAP": 0.5, "predictions": None}


def test_code_is_named_and_not_run(path: Path, tmp_path: Path) -> None:
    torch.save({"model": {}, "surprise": Touching(tmp_path / "made")}, path)

    with pytest.raises(CheckpointError, match=r"names code .*posix\.mkdir"):
        read_checkpoint(path)

    assert not (tmp_path / "made").exists()


def test_bare_pickle_is_refused_unread(path: Path, tmp_path: Path) -> None:
    path.write_bytes(pickle.dumps(Touching(tmp_path / "made")))

    with pytest.raises(CheckpointError, match="bare pickle"):
        read_checkpoint(path)

    assert not (tmp_path / "made").exists()


def test_truncated_file_is_called_so(path: Path) -> None:
    torch.save({"model": {"a": torch.ones(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(CheckpointError, match="truncated"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_other_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"not written by torch\.save"):
        read_checkpoint(path)


def test_archive_of_something_else_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")

    with pytest.raises(CheckpointError, match="refused"):
        read_checkpoint(path)


def test_file_without_a_dictionary_is_refused(path: Path) -> None:
    torch.save([torch.ones(1)], path)

    with pytest.raises(CheckpointError, match="not a dictionary"):
        read_checkpoint(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_file_is_a_checkpoint_error_or_read(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "checkpoint.tar"
    torch.save({"model": {"a": torch.ones(4)}, "auroc": np.float64(0.5), "config": {}}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)

    try:
        read = read_checkpoint(path)
    except CheckpointError:
        return
    assert isinstance(read, dict)


def test_wrapping_prefix_is_removed_where_all_names_have_it() -> None:
    state = {"module.a": torch.ones(1), "module.b": torch.ones(1)}

    assert set(tensors_of({"model": state}, "model", "x")) == {"a", "b"}


def test_wrapping_prefix_of_some_names_stays() -> None:
    state = {"module.a": torch.ones(1), "b": torch.ones(1)}

    assert set(tensors_of({"model": state}, "model", "x")) == {"module.a", "b"}


@pytest.mark.parametrize(
    "value", [3, torch.ones(2, dtype=torch.complex64), torch.ones(2).to_sparse()]
)
def test_state_of_something_else_than_tensors_is_named(value: Any) -> None:
    with pytest.raises(CheckpointError, match="not plain tensors: odd"):
        tensors_of({"model": {"odd": value}}, "model", "x")


@pytest.mark.parametrize("content", [{}, {"model": 3}, {"model": {}}])
def test_file_without_tensors_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="no tensors under 'model'"):
        tensors_of(content, "model", "x")


def test_setting_that_is_missing_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"no float under base\.gamma"):
        setting(configuration(), "base.gamma", float, "x")


def test_unknown_value_becomes_nothing() -> None:
    assert plain({"a": [object(), 1]}) == {"a": [None, 1]}
