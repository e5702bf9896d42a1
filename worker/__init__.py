"""The Celery workers: ``celery -A worker worker`` finds `app` here."""

import os

# Read by numpy when it is imported. For large pages the kernel gathers memory at each picture,
# which takes up to 0.1 s of a study.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

from worker.app import app

__all__ = ["app"]
