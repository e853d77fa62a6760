"""Memory does not follow the length of a run; the measure sees it where it does."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from bench import walker
from bench.long import grow
from bench.resident import slope
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.frame import AnimatedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler
from tpc_stream.recording import frame_table, series

SETTLED = 200
"""Frames after which nothing is opened or filled any more, with the recorder's columns and spans cut short."""


def test_memory_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (series, frame_table):
        monkeypatch.setattr(module, "MAX_VALUES", 64)
    options = AnimateOptions(bundle=make_tiny_bundle(tmp_path / "tiny"), backend="simulated")
    small = Profiler(max_trace_spans=1000)
    kept: list[mmap.mmap] = []

    def keep(frame: AnimatedFrame) -> None:
        if frame.index >= 500:  # a leak of 200 kB a frame, in pages of its own: a heap may have room from before
            kept.append(mmap.mmap(-1, 200_000))
            kept[-1].write(bytes([1]) * 200_000)

    with Animator(options, pose_stage=walker.poses) as animator:
        made = grow(animator, tmp_path / "long.mp4", frames=600, sample_every=10, each=keep, profiler=small)
    clean = [k for k in made.frames if SETTLED <= k < 500]
    leaking = [k for k in made.frames if k >= 500]
    at = dict(zip(made.frames, made.megabytes, strict=True))
    assert slope(clean, [at[k] for k in clean]) < 2.0
    assert slope(leaking, [at[k] for k in leaking]) > 100


def test_the_slope_is_in_megabytes_for_a_thousand_frames() -> None:
    assert slope([0, 500, 1000], [70.0, 70.5, 71.0]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="two samples, got 1"):
        slope([0], [70.0])
