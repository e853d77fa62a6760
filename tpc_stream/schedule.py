"""How frames meet noise levels: the schedule, and how many frames enter together, settled from the user's options."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tpc_stream.errors import InputError
from tpc_stream.manifest import Manifest, Schedule
from tpc_stream.options import AnimateOptions
from tpc_stream.propagation import group_size_from_groups
from tpc_stream.window import check_window

DEFAULT_GROUP_SIZE = 4
"""m of the paper: M = 30 groups for about 120 frames (section 4.2)."""

DEFAULT_CHUNK = 1
"""Frames that enter the diagonal together: the least delay that there is."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A schedule and its sizes, in frames."""

    schedule: Schedule
    window: int
    """Frames that enter together: a window, or a chunk of the diagonal."""
    overlap: int
    group_size: int
    note: str = ""
    """What a user should know of it: empty where it is what they asked for."""


def settle(manifest: Manifest, options: AnimateOptions) -> Settled:
    """The schedule of a run; InputError for combinations that cannot run.

    A bundle that was not trained for mixed noise levels runs the window schedule, and the note says so.
    """
    if options.schedule != "diagonal":
        if options.chunk is not None:
            raise InputError(f"chunks are of the diagonal schedule, got chunk {options.chunk}: add --schedule diagonal")
        return _window(manifest, options)
    if "diagonal" not in manifest.conditioning.schedules:
        note = f"bundle {manifest.name} was not trained for mixed noise levels: the window schedule is used instead"
        settled = _window(manifest, options)
        return Settled(settled.schedule, settled.window, settled.overlap, settled.group_size, note)
    return _diagonal(manifest, options)


def delay_frames(settled: Settled, steps: int) -> int:
    """Frames that the first frame of a window or chunk waits for, beside all computing: the structural delay."""
    later = (steps - 1) * settled.window if settled.schedule == "diagonal" else 0
    return later + settled.window - 1


def _window(manifest: Manifest, options: AnimateOptions) -> Settled:
    window = options.window or manifest.window.length
    if window > manifest.window.max_length:
        raise InputError(f"bundle {manifest.name} takes windows of at most {manifest.window.max_length}, got {window}")
    overlap = manifest.window.overlap if options.overlap is None else options.overlap
    if options.groups is not None:
        group_size = group_size_from_groups(window, options.groups)
    elif options.group_size is not None:
        group_size = options.group_size
    else:
        group_size = _default_group_size(window, overlap if options.overlap is not None else 0)
    if options.overlap is None and options.window is not None:
        overlap = min(overlap, window // 2) // group_size * group_size
    check_window(length=window, overlap=overlap, group_size=group_size)
    return Settled("window", window, overlap, group_size)


def _diagonal(manifest: Manifest, options: AnimateOptions) -> Settled:
    for name, value in (("window", options.window), ("overlap", options.overlap)):
        if value:
            raise InputError(f"the diagonal schedule has chunks, no {name}: use --chunk instead of --{name} {value}")
    chunk = options.chunk or DEFAULT_CHUNK
    together = chunk * (options.steps or manifest.sampling.steps)
    if together > manifest.window.max_length:
        raise InputError(
            f"bundle {manifest.name} takes {manifest.window.max_length} frames at once, got chunks of {chunk} at "
            f"{together // chunk} noise levels: {together}"
        )
    if options.groups is not None or options.group_size not in (None, chunk):
        raise InputError(f"in the diagonal schedule a group of Iterative Propagation is a chunk of {chunk} frames")
    return Settled("diagonal", chunk, 0, chunk)


def _default_group_size(window: int, overlap: int) -> int:
    whole = math.gcd(window, overlap)
    return max(m for m in range(1, DEFAULT_GROUP_SIZE + 1) if whole % m == 0)
