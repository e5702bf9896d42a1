"""The commands inspect and submit, as somebody with a disc in hand uses them."""

import json
import re
from pathlib import Path

import pytest
from files_on_disk import on_disk
from node_factory import PATIENT_WORDS, four_views, mammogram
from studies_on_disk import node

from dicom_node.spool.names import Receipt


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mammoclip.toml"
    file.write_text("[receive]\nminimum_free_bytes = 1\n")
    return file


def waiting(config: Path) -> int:
    names = (file.stem for file in (config.parent / "spool" / "incoming").iterdir())
    return sum(Receipt.parse(name) is not None for name in names)


def test_inspect_needs_no_node_and_ends_with_0_for_a_whole_study(tmp_path: Path) -> None:
    done = node("inspect", on_disk(tmp_path / "disc", *four_views()))

    assert done.exit_code == 0, done.output
    assert "4 images to analyse" in done.stdout


def test_inspect_ends_with_1_where_an_image_cannot_be_analysed(tmp_path: Path) -> None:
    images = [mammogram(), mammogram("CC", without=["ImageLaterality"])]

    done = node("inspect", on_disk(tmp_path / "disc", *images), "--json")

    (study,) = json.loads(done.stdout)["studies"]
    assert (done.exit_code, study["can_be_analysed"]) == (1, "partly")


def test_inspect_takes_the_rules_of_the_settings(tmp_path: Path, config: Path) -> None:
    disc = on_disk(tmp_path / "disc", mammogram(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))
    config.write_text('[receive]\nsecondary_capture_senders = ["FILM"]\n')

    without = node("inspect", disc)
    done = node("inspect", disc, "--config", config, "--ae-title", "FILM")

    assert (without.exit_code, done.exit_code) == (1, 0)


def test_names_of_files_give_a_terminal_no_orders(tmp_path: Path) -> None:
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "\x1b[31m[bold]red").write_text("no DICOM")
    (tmp_path / "disc" / "\udcff").write_text("no DICOM")

    table = node("inspect", tmp_path / "disc")
    document = node("inspect", tmp_path / "disc", "--json")

    assert "\x1b[31m" not in table.stdout
    assert "?[31m[bold]red" in table.stdout
    assert len(json.loads(document.stdout)["passed_over"]) == 2


def test_submit_puts_files_into_the_spool_of_a_node_that_does_not_run(
    tmp_path: Path, config: Path
) -> None:
    disc = on_disk(tmp_path / "disc", *four_views())

    done = node("submit", disc, "--config", config, "--json")

    assert done.exit_code == 0, done.output
    assert [study["files"] for study in json.loads(done.stdout)["studies"]] == [4]
    assert waiting(config) == 4


def test_submit_ends_with_1_where_a_file_was_not_taken(tmp_path: Path, config: Path) -> None:
    disc = on_disk(tmp_path / "disc", *four_views())
    (disc / "broken.dcm").write_bytes(bytes(132))

    done = node("submit", disc, "--config", config)

    assert done.exit_code == 1
    assert "broken.dcm" in done.stdout
    assert waiting(config) == 4


def test_submit_says_how_to_go_on_after_a_full_disk(tmp_path: Path, config: Path) -> None:
    config.write_text(f"[receive]\nminimum_free_bytes = {10**18}\n")

    done = node("submit", on_disk(tmp_path / "disc", *four_views()), "--config", config)

    assert done.exit_code == 1
    assert "stopped before 4 files" in done.stderr
    assert "run the command again" in done.stderr


def test_neither_says_whose_images_they_are(tmp_path: Path, config: Path) -> None:
    disc = on_disk(tmp_path / "disc", *four_views(), mammogram("CC", without=["ImageLaterality"]))

    said = node("inspect", disc).output + node("submit", disc, "--config", config).output

    assert not [word for word in PATIENT_WORDS if word in said]


def test_ae_title_that_is_none_is_refused(tmp_path: Path, config: Path) -> None:
    done = node("submit", tmp_path, "--config", config, "--ae-title", "a\\b")

    assert done.exit_code == 1
    assert "--ae-title" in done.stderr


def test_commands_of_the_documents_do_what_they_say(tmp_path: Path, config: Path) -> None:
    text = (Path(__file__).parents[4] / "docs" / "ways" / "files.md").read_text(encoding="utf-8")
    commands = re.findall(r"```\nmammoclip-node (.*)\n```", text)
    disc = on_disk(tmp_path / "disc", *four_views())

    for command in commands:
        arguments = command.replace("/media/cdrom", str(disc)).split()
        done = node(*arguments, "--config", config)
        assert done.exit_code == 0, done.output

    assert [command.split()[0] for command in commands] == ["inspect", "submit"]
    assert waiting(config) == 4
