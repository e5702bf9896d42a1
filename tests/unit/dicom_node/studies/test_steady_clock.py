"""A clock that leapt forward makes nothing old at once: files are removed later, or not at all."""

from datetime import timedelta

from kept_studies import Kept, retention
from node_factory import NOW, Reception, mammogram

from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.studies.retention import Retention
from dicom_node.studies.steady_clock import SteadyClock

UID = "1.2.826.0.1.3680043.8.498.80"


def test_nothing_is_removed_for_its_age_after_the_clock_leapt_forward(
    reception: Reception, log_lines: list[dict[str, object]]
) -> None:
    kept = Kept(reception, UID).deliver()
    aside = reception.receive(mammogram(without=["ImageLaterality"]))
    assert aside is not None
    clock, passed = [NOW], [0.0]
    settings = RetentionSettings(days=30, set_aside_days=7, free_percent=10)
    free = [50]
    node = Retention(
        reception.spool,
        reception.database,
        settings,
        clock=lambda: clock[0],
        believes=SteadyClock(monotonic=lambda: passed[0]).believes,
        free_space=lambda _: (free[0], 100),
    )

    def passes(seconds: float) -> int:
        clock[0], passed[0] = clock[0] + timedelta(seconds=seconds), passed[0] + seconds
        return node.step(at_once=True)

    passes(0)
    clock[0] += timedelta(days=365)
    removed = [passes(1), passes(6 * 3600 - 2)]
    assert (removed, len(kept.files())) == ([0, 0], 3)
    (line,) = [line for line in log_lines if line["event"] == "clock_doubted"]
    assert line["seconds"] == 365 * 86400

    free[0] = 5
    assert passes(0) == 1, "room is needed, whatever the clock says"
    free[0] = 50
    assert passes(1) == 0
    assert passes(1) == 1, "the clock has gone right for a while, and what is set aside is old"


def test_clock_that_was_put_right_again_in_time_has_cost_nothing(reception: Reception) -> None:
    kept = Kept(reception, UID).deliver()
    clock, passed = [NOW], [0.0]
    steady = SteadyClock(monotonic=lambda: passed[0])
    node = retention(reception, believes=steady.believes)
    node._clock = lambda: clock[0]

    for at, seconds in ((0, 0), (365, 1), (0, 60), (1, 86400), (29, 28 * 86400)):
        clock[0], passed[0] = NOW + timedelta(days=at), passed[0] + seconds
        assert node.step(at_once=True) == 0

    assert len(kept.files()) == 3
