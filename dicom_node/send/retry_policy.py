"""Decides when a failed delivery is tried again."""

import random
from datetime import datetime, timedelta

from dicom_node.settings.work import RetrySettings


def next_attempt(
    policy: RetrySettings,
    *,
    attempts: int,
    created_at: datetime,
    at: datetime,
    generator: random.Random,
) -> datetime | None:
    """Return when to try again, or None if the delivery has expired.

    Parameters
    ----------
    attempts : 1 or more
        Attempts so far. The wait doubles with each, up to the policy's longest, and varies by a
        quarter at random, so that an archive that is back does not get all deliveries at once.
    """
    expires_at = created_at + timedelta(seconds=policy.expire_seconds)
    if at >= expires_at:
        return None
    doubled = policy.first_seconds * 2.0 ** min(attempts - 1, 30)
    wait = min(doubled, policy.longest_seconds) * generator.uniform(0.75, 1.25)
    return min(at + timedelta(seconds=wait), expires_at)
