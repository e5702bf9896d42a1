"""A drained node takes nothing new, by whichever way, until it receives again."""

from pathlib import Path

import pytest
from listener_factory import Listening, associated, request
from node_factory import encoded, mammogram
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.draining import begin_draining, draining, end_draining
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import NoPlaceError


def test_sender_is_refused_for_a_while_and_served_again(listening: Listening, spool: Spool) -> None:
    _, port = listening()
    begin_draining(spool.root, by="ward", reason="moved")

    with associated(port) as association:
        answer = association.acceptor.primitive
        assert association.is_rejected
        # PS3.8 table 9-21: rejected-transient, by the presentation layer, temporary congestion.
        assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 1)

    assert end_draining(spool.root)
    with associated(port) as association:
        assert association.is_established


def test_file_that_comes_otherwise_is_refused_too(spool: Spool) -> None:
    begin_draining(spool.root, by="ward", reason="")

    with (
        pytest.raises(NoPlaceError, match="takes nothing new"),
        file_intake(ReceiveSettings(), spool, origin="here", calling_ae_title="X"),
    ):
        pytest.fail("nothing is taken")


def test_association_that_is_open_is_finished(listening: Listening, spool: Spool) -> None:
    _, port = listening()
    with associated(port) as association:
        begin_draining(spool.root, by="ward", reason="")
        image = mammogram()
        assert request(association, encoded(image), image.SOPClassUID, image.SOPInstanceUID) == 0

    assert len(spool.incoming()) == 1


def test_command_says_what_is_so(tmp_path: Path) -> None:
    config = tmp_path / "mammoclip.toml"
    config.write_text('spool = "spool"\n')
    spool = Spool(tmp_path / "spool")

    begun = CliRunner().invoke(app, ["drain", "--reason", "moved", "--config", str(config)])
    again = CliRunner().invoke(app, ["drain", "--config", str(config)])
    ended = CliRunner().invoke(app, ["drain", "--end", "--config", str(config)])

    assert "the node takes nothing new, by" in begun.output
    assert "moved" in begun.output
    assert again.exit_code == 1
    assert ended.output == "the node receives again\n"
    assert draining(spool.root) is None
