"""What a person can mend is said in one line, wherever it was noticed."""

import pytest
import typer
from torch.utils.data import DataLoader, Dataset

from mammoclip_core.errors import PixelError
from training.terminal import one_line_errors


class Damaged(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: int) -> int:
        raise PixelError("a/1.png: all its values are 7")


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_picture_in_a_worker_process_is_one_line(
    workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), one_line_errors():
        list(DataLoader(Damaged(), num_workers=workers))

    assert capsys.readouterr().err == "mammoclip-train: a/1.png: all its values are 7\n"
