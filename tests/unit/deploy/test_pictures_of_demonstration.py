"""The pictures that the demonstration writes and the tables that it prints."""

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from deploy.demo.display import findings_table, make_console, objects_table, write_pictures
from deploy.demo.outcome import Outcome

IMAGE = "1.2.3.4"
RED = (200, 10, 30)


def test_picture_keeps_its_colors(tmp_path):
    path = next(write_pictures(outcome(picture("R", "CC")), tmp_path))

    assert tuple(cv2.imread(str(path))[0, 0, ::-1]) == RED


def test_picture_is_named_by_its_view(tmp_path):
    paths = write_pictures(outcome(picture("R", "CC"), picture("L", "MLO")), tmp_path)

    assert [path.name for path in paths] == ["RCC.png", "LMLO.png"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # which is the point
@pytest.mark.parametrize("view", ["CC", "../../CC", ""])
def test_picture_stays_in_its_folder(view, tmp_path):
    paths = list(write_pictures(outcome(picture("R", view), picture("R", view)), tmp_path))

    assert len(set(paths)) == 2
    assert {path.parent for path in paths} == {tmp_path}


def test_nothing_but_pictures_is_left_in_the_folder(tmp_path):
    paths = list(write_pictures(outcome(picture("R", "CC")), tmp_path))

    assert list(tmp_path.iterdir()) == paths


def test_study_without_findings_is_listed_with_its_condition(capsys):
    console = make_console()

    console.print(findings_table([outcome()], "UNTRAINED: no meaning"))

    printed = capsys.readouterr().out
    assert "nothing-to-analyse" in printed
    assert "UNTRAINED: no meaning" in printed


def test_object_of_an_unknown_image_is_listed_by_its_uid(capsys):
    make_console().print(objects_table([outcome(picture("R", "CC"))]))

    assert IMAGE in capsys.readouterr().out


def outcome(*pictures):
    return Outcome(
        label="study",
        study_instance_uid="1.2.3",
        condition="nothing-to-analyse",
        reason="",
        not_analysed=(),
        findings=None,
        reports=(),
        segmentations=(),
        pictures=pictures,
        others=(),
    )


def picture(laterality, view):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.5"
    dataset.Modality, dataset.ImageLaterality, dataset.ViewPosition = "OT", laterality, view
    source = Dataset()
    source.ReferencedSOPInstanceUID = IMAGE
    dataset.SourceImageSequence = [source]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 2, 2, 3
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.full((2, 2, 3), RED, np.uint8).tobytes()
    return dataset
