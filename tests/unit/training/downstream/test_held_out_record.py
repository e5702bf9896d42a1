"""A head is calibrated on patients that its training held out, or on those of another table."""

from dataclasses import replace

import pytest
from phantom_bundle import phantom_tables

from mammoclip_core.manifest import read_manifest
from training.downstream.bundle_calibration import CalibrationOrder, calibrate
from training.downstream.calibration import OperatingTarget
from training.downstream.cases import Protocol
from training.downstream.head_calibration import calibrate_head
from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
from training.downstream.recipes import Training
from training.errors import SettingsError

__all__ = ["phantom_tables"]


@pytest.fixture(scope="module")
def order(phantom_tables, small_bundle, tmp_path_factory):
    return HeadOrder(
        bundle=small_bundle,
        table=phantom_tables / "finding_annotations.csv",
        images=(phantom_tables / "png",),
        head="mass",
        training=Training.PROBE,
        epochs=1,
        out=tmp_path_factory.mktemp("probe"),
    )


def trained(order, folder, **further):
    changed = replace(order, out=folder / "probe", into=folder / "bundle", **further)
    make_head(changed)
    return changed


def calibration(order, out, **further):
    return replace(
        CalibrationOrder(
            bundle=order.into,
            table=order.table,
            images=order.images,
            out=out,
            findings=("mass",),
            target=OperatingTarget(sensitivity=0.8),
            seed=order.seed,
        ),
        **further,
    )


@pytest.mark.parametrize("fault", ["published", "seed"])
def test_patients_that_were_trained_on_are_refused(order, tmp_path, fault):
    further = {"protocol": Protocol.PUBLISHED} if fault == "published" else {}
    made = trained(order, tmp_path, **further)
    wrong = {"seed": 11} if fault == "seed" else {}

    with pytest.raises(SettingsError, match="was trained on patients that are held out here"):
        calibrate(calibration(made, tmp_path / "out", **wrong))
    with pytest.raises(SettingsError, match="was trained on patients that are held out here"):
        calibrate_head(
            calibration(made, tmp_path / "head", bundle=order.bundle, **wrong),
            made.out / HEAD_NAME,
        )
    assert calibrate(calibration(made, tmp_path / "test", part="test", **wrong))


def test_patients_that_were_held_out_are_taken(order, tmp_path):
    made = trained(order, tmp_path)

    assert calibrate(calibration(made, tmp_path / "out"))
    head = calibration(made, tmp_path / "head", bundle=order.bundle)
    assert calibrate_head(head, made.out / HEAD_NAME)


def test_patients_of_another_table_are_taken(order, tmp_path):
    made = trained(order, tmp_path, protocol=Protocol.PUBLISHED)
    lines = order.table.read_text().splitlines()
    gone = lines[1].split(",")[0]
    other = tmp_path / "finding_annotations.csv"
    other.write_text("\n".join(line for line in lines if not line.startswith(gone)) + "\n")

    assert calibrate(calibration(made, tmp_path / "out", table=other))


def test_head_in_place_of_another_takes_its_record_along(order, tmp_path):
    made = trained(order, tmp_path, protocol=Protocol.PUBLISHED)
    again = replace(order, bundle=made.into, out=tmp_path / "second", into=tmp_path / "again")
    make_head(again)

    records = [
        {key: value for key, value in read_manifest(one).sources.items() if "patients" in key}
        for one in (made.into, again.into)
    ]
    assert [len(record) for record in records] == [2, 2]
    assert records[0] != records[1]
    assert calibrate(calibration(again, tmp_path / "out"))
