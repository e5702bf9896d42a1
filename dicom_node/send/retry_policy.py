"""When a delivery that did not succeed is tried again: a pure decision."""

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
    """Return when to try again, or None once the delivery's time is over.

    Parameters
    ----------
    attempts : 1 or more
        Attempts so far; the wait doubles with each, up to the policy's longest, and is spread by
        a quarter so that an archive that comes back is not asked by all at once.
    """
    expires_at = created_at + timedelta(seconds=policy.expire_seconds)
    if at >= expires_at:
        return None
    doubled = policy.first_seconds * 2.0 ** min(attempts - 1, 30)
    wait = min(doubled, policy.longest_seconds) * generator.uniform(0.75, 1.25)
    return min(at + timedelta(seconds=wait), expires_at)
