import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_factory import NOW, after

from dicom_node.send.retry_policy import next_attempt
from dicom_node.settings.work import RetrySettings

POLICIES = st.builds(
    RetrySettings,
    first_seconds=st.floats(0.1, 1e3),
    longest_seconds=st.floats(0.1, 1e5),
    expire_seconds=st.floats(1, 1e7),
)


class Middle(random.Random):
    """Chance that never spreads anything."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 10), (2, 20), (3, 40), (7, 640), (8, 900), (9, 900), (5000, 900)]
)
def test_wait_doubles_up_to_the_longest(attempts: int, seconds: float) -> None:
    due_at = next_attempt(RetrySettings(), attempts=attempts, since=NOW, at=NOW, generator=Middle())

    assert due_at == after(seconds)


@given(
    policy=POLICIES,
    attempts=st.integers(1, 10_000),
    age=st.floats(0, 1e7),
    seed=st.integers(0, 2**32),
)
def test_next_attempt_is_later_and_within_the_delivery_s_time(
    policy: RetrySettings, attempts: int, age: float, seed: int
) -> None:
    at = after(age)
    expires_at = NOW + timedelta(seconds=policy.expire_seconds)

    due_at = next_attempt(
        policy, attempts=attempts, since=NOW, at=at, generator=random.Random(seed)
    )

    if at >= expires_at:
        assert due_at is None
    else:
        assert due_at is not None
        assert at < due_at <= expires_at
        wait = min(policy.first_seconds * 2.0 ** min(attempts - 1, 30), policy.longest_seconds)
        assert due_at - at <= timedelta(seconds=1.25 * wait + 1e-3)


@given(seed=st.integers(0, 2**32))
def test_waits_are_spread_by_a_quarter(seed: int) -> None:
    due_at = next_attempt(
        RetrySettings(), attempts=1, since=NOW, at=NOW, generator=random.Random(seed)
    )

    assert due_at is not None
    assert after(7.5) <= due_at <= after(12.5)


@pytest.mark.parametrize(("age", "expired"), [(99.9, False), (100, True), (1e6, True)])
def test_delivery_expires_after_its_time(age: float, expired: bool) -> None:
    policy = RetrySettings(expire_seconds=100)

    due_at = next_attempt(policy, attempts=1, since=NOW, at=after(age), generator=Middle())

    assert (due_at is None) is expired


def test_nothing_expires_while_its_time_does_not_count() -> None:
    due_at = next_attempt(
        RetrySettings(), attempts=1, since=None, at=after(1e9), generator=Middle()
    )

    assert due_at == after(1e9 + 10)
