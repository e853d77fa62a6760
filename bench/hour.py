"""`python -m bench hour`: an hour of 29.97 frames a second, with sound, as a job in chunks through simulated engines.

The file, its decoding, cuts, segments, joining and sound are real, and so are queues, calibration and encoder; the pose
stage and the engines are stand-ins. Looked at are the number of frames, the time of every frame and every packet of
sound against the source's, and the resident memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from bench import walker
from bench.resident import resident_megabytes, slope
from tpc_stream.job.events import ChunkFinished
from tpc_stream.job.run_job import JobConfig, run_job
from tpc_stream.job.spec import make_spec
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
RATE = Fraction(30_000, 1001)
SAMPLE_RATE = 8000
MOST_MB = 0.1
"""For every 1,000 frames, from a quarter of the way on; as `bench long`."""


@dataclass(frozen=True, slots=True)
class Hour:
    """What came out."""

    frames: int
    expected: int
    chunks: int
    picture_off_seconds: float
    """The furthest that a picture lies from its driving frame."""
    sound_off_seconds: float
    """The furthest that a packet of sound lies from the source's; infinite where one is missing or another."""
    mb_per_1000: float
    resident: tuple[float, ...]
    """Megabytes after each chunk."""
    seconds: float

    def failures(self) -> list[str]:
        """What is not as it must be."""
        found = []
        if self.frames != self.expected:
            found.append(f"{self.frames} frames came out, {self.expected} went in")
        off = self.picture_off_seconds + self.sound_off_seconds
        if not off <= 1 / RATE:
            found.append(f"sound and picture are {off:.4f} s apart, a frame is {float(1 / RATE):.4f} s")
        if self.mb_per_1000 > MOST_MB:
            found.append(f"memory grows by {self.mb_per_1000:.3f} MB for every 1,000 frames, {MOST_MB:g} are allowed")
        return found


def make_input(path: Path, *, seconds: float) -> int:
    """Writes small moving pictures with a sound that never repeats; returns the number of frames."""
    frames, rng = round(seconds * RATE), np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "60"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        heard = 0
        for k in range(frames):
            while Fraction(heard, SAMPLE_RATE) <= k / RATE:
                noise = rng.normal(0, 0.1, (1, 1024)).astype(np.float32)
                sound = AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, heard, Fraction(1, SAMPLE_RATE)
                container.mux(audio.encode(sound))
                heard += 1024
            image = np.full((64, 64, 3), 40, np.uint8)
            image[:, k % 64] = 220
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = k, 1 / RATE
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return frames


def animate(motion: Path, out: Path, *, frames: int, bundle: str, chunk_seconds: float | None) -> Hour:
    """Runs the job in this process and compares what it wrote with its source."""
    options = AnimateOptions(bundle=bundle, backend="simulated", threads=1)
    outputs = OutputOptions(path=str(out), sheet=False, report=False)
    spec = make_spec(ASSETS / "demo_reference.png", motion, outputs, options, chunk_seconds=chunk_seconds)
    began, done = time.perf_counter(), 0
    places, resident = list[int](), list[float]()
    for event in run_job(spec, config=JobConfig(pose_stage=walker.poses)):
        if isinstance(event, ChunkFinished):
            done += event.frames
            places.append(done)
            resident.append(resident_megabytes())
    seconds = time.perf_counter() - began
    ours, theirs = _times(out), _times(motion)
    half = len(places) // 4
    return Hour(
        frames=len(ours[0]),
        expected=frames,
        chunks=len(spec.chunks),
        picture_off_seconds=_furthest(ours[0], theirs[0]),
        sound_off_seconds=_furthest(ours[1], theirs[1]),
        mb_per_1000=slope(places[half:], resident[half:]),
        resident=tuple(resident),
        seconds=seconds,
    )


Packets = list[tuple[Fraction, bytes]]


def _times(path: Path) -> tuple[Packets, Packets]:
    """(when, what) of every picture, in the order of showing and without its bits, and of every packet of sound."""
    pictures, sound = Packets(), Packets()
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.size and packet.pts is not None and packet.time_base is not None:
                when = packet.pts * packet.time_base
                if packet.stream.type == "video":
                    pictures.append((when, b""))
                else:
                    sound.append((when, bytes(packet)))
    return sorted(pictures), sound


def _furthest(ours: Packets, theirs: Packets) -> float:
    """Packets of the source before the first and after the last picture may be missing."""
    times = dict((what, when) for when, what in theirs) if ours and ours[0][1] else None
    if times is None:
        pairs = zip(ours, theirs, strict=False)
        return max((abs(float(a - b)) for (a, _), (b, _) in pairs), default=np.inf)
    if len(ours) < len(theirs) - 2 or any(what not in times for _, what in ours):
        return np.inf
    return max(abs(float(when - times[what])) for when, what in ours)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench hour", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--bundle", default="mannequin", help="whose shapes the graphs have")
    parser.add_argument("--chunk-seconds", type=float, default=None)
    choices = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        motion = Path(folder) / "hour.mp4"
        frames = make_input(motion, seconds=60 * choices.minutes)
        made = animate(
            motion, Path(folder) / "out.mp4", frames=frames, bundle=choices.bundle, chunk_seconds=choices.chunk_seconds
        )
    print(
        f"{made.frames} of {made.expected} frames in {made.chunks} chunks and {made.seconds:.0f} s "
        f"({made.frames / made.seconds:.0f} a second)\n"
        f"furthest from the source: pictures {1e3 * made.picture_off_seconds:.3f} ms, sound "
        f"{1e3 * made.sound_off_seconds:.3f} ms\n"
        f"resident {made.resident[0]:.1f} MB after the first chunk, {max(made.resident):.1f} at most, "
        f"{made.resident[-1]:.1f} after the last: {made.mb_per_1000:+.4f} MB for every 1,000 frames"
    )
    for failure in made.failures():
        print(f"FAILED: {failure}")
    return 1 if made.failures() else 0
