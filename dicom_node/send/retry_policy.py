"""Decides when a failed delivery is tried again."""

import random
from datetime import datetime, timedelta

from dicom_node.settings.work import RetrySettings


def next_attempt(
    policy: RetrySettings,
    *,
    attempts: int,
    since: datetime | None,
    at: datetime,
    generator: random.Random,
) -> datetime | None:
    """Return when to try again, or None if its time is over.

    Parameters
    ----------
    attempts : 1 or more
        Attempts so far. The wait doubles with each, up to the policy's longest, and varies by a
        quarter at random, so that an archive that is back does not get all deliveries at once.
    since : from when its time counts; None if it is tried without end for now
    """
    expires_at = None if since is None else since + timedelta(seconds=policy.expire_seconds)
    if expires_at is not None and at >= expires_at:
        return None
    doubled = policy.first_seconds * 2.0 ** min(attempts - 1, 30)
    wait = min(doubled, policy.longest_seconds) * generator.uniform(0.75, 1.25)
    due_at = at + timedelta(seconds=wait)
    return due_at if expires_at is None else min(due_at, expires_at)
