"""One thread for each worker of pytest-xdist: OpenMP threads of several workers on the same cores slow each other."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
