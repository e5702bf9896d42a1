"""The Celery workers: ``celery -A worker worker`` finds `app` here."""

import os

# Read by numpy when it is imported. For large pages the kernel gathers memory at each picture,
# which takes up to 0.1 s of a study.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
# Read by numpy's OpenBLAS, whose threads wait for the next product by spinning. The matrices beside
# the network are small: with two processes on two cores this was a twentieth of a study's time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from worker.app import app

__all__ = ["app"]
