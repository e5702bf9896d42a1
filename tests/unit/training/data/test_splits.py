"""Splits: no patient on both sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.splits import check_no_leak, group_folds
from training.errors import LeakError


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=8, max_size=80).filter(
        lambda rows: len({group for group, _ in rows}) >= 4
    ),
    st.integers(0, 5),
)
def test_no_patient_is_in_two_folds(rows, seed):
    patients = [f"P{number}" for number, _ in rows]

    folds = group_folds(patients, [int(label) for _, label in rows], folds=4, seed=seed)

    assert len(set(zip(patients, folds.tolist(), strict=True))) == len(set(patients))
    assert set(folds.tolist()) <= {0, 1, 2, 3}


def test_leak_names_the_patient():
    with pytest.raises(LeakError, match="1 of 2 groups are in several parts: P7"):
        check_no_leak(["P7", "P8", "P7"], ["training", "training", "test"])


def test_fewer_patients_than_folds_are_refused():
    with pytest.raises(LeakError, match="2 groups cannot fill 4 folds"):
        group_folds(["A", "B"], [0, 1], folds=4)


def test_fewer_rows_of_each_label_than_folds_still_fill_the_folds():
    folds = group_folds([f"p{number}" for number in range(6)], [0, 1, 0, 1, 0, 1], 5)

    assert set(folds.tolist()) == set(range(5))
