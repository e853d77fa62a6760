"""Video decoded and encoded by the GPU (NVDEC, NVENC) where it can, and in software with a word about it where not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Literal, get_args

HwAccel = Literal["auto", "cuda", "none"]
HWACCELS: tuple[HwAccel, ...] = get_args(HwAccel)
_log = logging.getLogger(__name__)
_noted: ContextVar[list[str] | None] = ContextVar("returns to software", default=None)


def settled(choice: HwAccel, backend: str) -> HwAccel:
    """ "auto" where the backend runs on an NVIDIA GPU, else "none"; what was asked for is left."""
    if choice != "auto":
        return choice
    kind, _, settings = backend.partition(":")
    on_gpu = kind == "trt" or (kind == "onnxrt" and bool(settings)) or (kind == "torch" and "cpu" not in settings)
    return "auto" if on_gpu else "none"


def tell_return(choice: HwAccel, what: str, reason: object) -> None:
    """Says once a process that software does it: as a warning where the GPU was asked for, else as information."""
    words = " ".join(str(reason).split()) or type(reason).__name__
    noted = _noted.get()
    if noted is not None:
        noted.append(words)
    _tell(logging.WARNING if choice == "cuda" else logging.INFO, what, words)


@contextmanager
def noted_returns() -> Iterator[list[str]]:
    """The reasons of all returns to software inside the with block and this thread, those that were told before too.

    So a measurement knows that it was the GPU, and a log that says everything once does not hide the second time.
    """
    found: list[str] = []
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


@cache
def _tell(level: int, what: str, reason: str) -> None:
    _log.log(level, "%s is not done by the GPU but in software: %s", what, reason)
