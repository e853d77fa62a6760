"""One way to compile the loops that numpy cannot express: without the GIL, cached on disk where a folder can be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile `function` with numba at its first call; it then runs without the GIL, in the caller's thread.

    The machine code is cached in NUMBA_CACHE_DIR if that is set, else beside the source, else in the user's cache
    folder. Where none of them can be written (a read-only container without a home) it is compiled once a process.
    One thread on purpose: the other cores belong to the denoiser. Kernels get finite numbers only, so that
    `fastmath` has nothing to lose, and check neither bounds nor divisors (which would keep loops from using vectors).
    """
    try:
        compiled = numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        compiled = numba.njit(nogil=True, fastmath=True, error_model="numpy")(function)
    return cast("Callable[Arguments, Result]", compiled)
