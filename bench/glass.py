"""`python -m bench glass`: latency from glass to glass, read from the encoded output, against what the profile says.

A camera stand-in shows each frame's own capture time in a strip; the strip passes the pipeline; the output is encoded
and sent as RTMP's payload is (FLV), through a pipe, and a viewer in another thread decodes it. When the viewer sees a
frame, the time it was captured at stands in the picture: no clock, index or bookkeeping of the pipeline takes part.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from rich.console import Console

from bench.scenarios import there_and_back, wait
from bench.stamp import carry, draw, read
from tpc_stream.frame import AnimatedFrame, Frame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler
from tpc_stream.source import read_frames

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
AGREEMENT = 0.9
"""Share of the frames for which both latencies lie within one frame: other programs hold up the viewer's thread too."""
QUICK = {"preset": "veryfast", "tune": "zerolatency", "crf": "23"}
"""Of the encoder: it holds no frame back."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Both latencies of the frames that the viewer could read, milliseconds, in order."""

    glass_ms: tuple[float, ...]
    """From the time in the picture until the viewer had decoded it."""
    tracer_ms: tuple[float, ...]
    """End to end in the profile, of the same frames."""
    unread: int
    """Decoded pictures whose strip could not be believed."""

    @property
    def difference_ms(self) -> np.ndarray:
        """[N]: how much later the viewer had a frame than the profile says that it was done."""
        return np.array(self.glass_ms) - np.array(self.tracer_ms)


def glass_to_glass(
    animator: Animator,
    clip: Sequence[Frame],
    *,
    rate: float,
    frames: int,
    encoder: Mapping[str, str] = QUICK,
) -> Seen:
    """Shows the clip to the animator at `rate` frames per second and looks at what comes out."""
    profiler = animator.profiler = Profiler()
    reading, writing = os.pipe()
    viewer = _Viewer(reading)
    thread = threading.Thread(target=viewer.watch, name="viewer", daemon=True)
    thread.start()
    start = time.perf_counter() + 0.05
    done: dict[int, float] = {}

    def camera() -> Iterator[Frame]:
        for index, frame in there_and_back(clip, rate=rate):
            if index == frames:
                return
            due = start + index / rate
            wait(profiler, "camera", lambda due=due: time.sleep(max(0.0, due - time.perf_counter())))
            yield Frame(index, frame.pts_seconds, draw(frame.image, round(1e3 * (due - start))), due)

    carried = profiler.stage("carry the stamp", carry, animator.animate(camera()))
    encoded = profiler.stage("encode", lambda up: _send(up, writing, rate, encoder), carried, codec=True)
    for frame in encoded:
        profiler.frame_done(frame.index, frame.captured_seconds)
        done[round(1e3 * (frame.captured_seconds - start))] = time.perf_counter() - frame.captured_seconds
    thread.join(10)
    rows = {int(row["index"]): float(row["end_to_end_ms"]) for row in profiler.session().frame_rows()}
    pairs = [
        (1e3 * (now - start) - stamp, rows[round(stamp * rate / 1e3)])
        for stamp, now in viewer.seen
        if stamp is not None
    ]
    unread = sum(stamp is None for stamp, _ in viewer.seen)
    return Seen(tuple(glass for glass, _ in pairs), tuple(tracer for _, tracer in pairs), unread)


class _Viewer:
    """Decodes what comes through a pipe, as it comes, and notes when it had which stamp."""

    def __init__(self, descriptor: int) -> None:
        self.seen: list[tuple[int | None, float]] = []
        self._descriptor = descriptor

    def watch(self) -> None:
        options = {"probesize": "32", "analyzeduration": "0"}  # looks at the first picture alone
        with (
            open(self._descriptor, "rb", buffering=0) as pipe,
            av.open(pipe, format="flv", container_options=options) as container,
        ):
            context = container.streams.video[0].codec_context
            context.thread_type, context.thread_count = "NONE", 1  # frame threads would hold frames back
            for picture in container.decode(video=0):
                now = time.perf_counter()
                self.seen.append((read(picture.to_ndarray(format="rgb24")), now))


def _send(
    frames: Iterable[AnimatedFrame], descriptor: int, rate: float, encoder: Mapping[str, str]
) -> Iterator[AnimatedFrame]:
    with (
        open(descriptor, "wb", buffering=0) as pipe,
        av.open(pipe, "w", format="flv", container_options={"flush_packets": "1"}) as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), options=dict(encoder))
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = round(1e3 * frame.pts_seconds), Fraction(1, 1000)
            if not stream.width or (stream.width, stream.height) != (picture.width, picture.height):
                stream.width, stream.height = picture.width, picture.height
            container.mux(stream.encode(picture))
            yield frame
        container.mux(stream.encode(None))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench glass", description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", default=str(ASSETS / "demo_motion.mp4"))
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--frames", type=int, default=128)
    choices = parser.parse_args(argv)
    clip = list(read_frames(choices.motion, max_frames=125))
    with Animator(AnimateOptions(bundle=choices.bundle, steps=choices.steps)) as animator:
        animator.set_reference(choices.reference)
        for _ in animator.animate(iter(clip[: animator.plan.denoise.window])):
            pass
        seen = glass_to_glass(animator, clip, rate=choices.rate, frames=choices.frames)
    console = Console(highlight=False)
    for name, values in (("glass to glass", seen.glass_ms), ("the profile", seen.tracer_ms)):
        p50, p90, p99 = np.percentile(values, (50, 90, 99))
        console.print(f"{name}: p50 {p50:.1f} ms, p90 {p90:.1f}, p99 {p99:.1f}, {len(values)} frames")
    p50, within = np.median(seen.difference_ms), np.mean(np.abs(seen.difference_ms) <= 1e3 / choices.rate)
    console.print(f"difference: median {p50:.1f} ms; within one frame, {1e3 / choices.rate:.1f} ms: {within:.1%}")
    console.print(f"pictures that could not be read: {seen.unread}")
    return 0 if within >= AGREEMENT else 1
