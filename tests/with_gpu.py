"""For tests that need a GPU, which skip without one and fail where TPC_REQUIRE_GPU=1; and for those that need none."""

from __future__ import annotations

import os

import pytest

from tpc_stream.errors import BackendError
from tpc_stream.plans.find_gpu import find_gpus


def skip_without_gpu() -> None:
    """The driver is asked; what the backends need besides is theirs to say, and a failure."""
    try:
        find_gpus()
    except BackendError as error:
        if os.environ.get("TPC_REQUIRE_GPU") == "1":
            pytest.fail(f"a GPU is required (TPC_REQUIRE_GPU=1): {error}")
        pytest.skip(str(error))


def skip_with_driver() -> None:
    """For tests of what is said without one."""
    try:
        find_gpus()
    except BackendError:
        return
    pytest.skip("there is an NVIDIA driver here")
