"""Sound and picture after an hour: on time stamps, from the source's packets to the output's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from tests.animated import animated_frame
from tests.media import bars, read_bars
from tpc_stream.captured import CapturedFrames
from tpc_stream.frame import Frame
from tpc_stream.reading.running_clock import RunningClock
from tpc_stream.reading.source_info import SourceReport
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import probe, read_frames
from tpc_stream.writing.sound import SoundSource

HOUR = 3600
SAMPLE_RATE = 8000  # a packet of AAC is then 128 ms, and an hour of them 28,125


def varying(k: int) -> Fraction:
    """Irregular, about 25 frames a second, in whole milliseconds as telephones stamp them."""
    return Fraction(40 * k + (7 * k % 31), 1000)


RATES: dict[str, Callable[[int], Fraction]] = {
    "23.976": lambda k: k / Fraction(24_000, 1001),
    "29.97": lambda k: k / Fraction(30_000, 1001),
    "25": lambda k: k / Fraction(25),
    "variable": varying,
}
NOMINAL = {"23.976": Fraction(24_000, 1001), "29.97": Fraction(30_000, 1001), "25": Fraction(25), "variable": None}


def hour_long(path: Path, time_of: Callable[[int], Fraction], numbers: list[int], base: Fraction) -> Path:
    """An hour of sound with pictures at the given numbers; one silent packet of AAC stands for all of them."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "1"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = video.time_base = base
        video.codec_context.max_b_frames = 0
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        silence = AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        packets = []
        for k in range(8):
            silence.pts = 1024 * k
            packets += audio.encode(silence)
        data = bytes(packets[-1])
        sent = 0

        def sound_until(seconds: Fraction) -> None:
            nonlocal sent
            while Fraction(1024 * sent, SAMPLE_RATE) <= seconds:
                packet = av.Packet(data)
                packet.stream, packet.time_base = audio, Fraction(1, SAMPLE_RATE)
                packet.pts = packet.dts = 1024 * sent
                packet.duration = 1024
                container.mux_one(packet)
                sent += 1

        for number in numbers:
            sound_until(time_of(number))
            frame = av.VideoFrame.from_ndarray(bars(number % 4096), format="rgb24")
            frame.pts, frame.time_base = round(time_of(number) / base), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound_until(time_of(numbers[-1]))
    return path


def times_of(path: Path) -> tuple[list[tuple[int, Fraction]], list[tuple[Fraction, bytes]]]:
    """(what it shows, when) of every picture, and (when, what) of every packet of sound."""
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        assert base is not None
        pictures = [(read_bars(f.to_ndarray(format="rgb24")), f.pts * base) for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.pts is not None]
    return pictures, sound


@pytest.mark.parametrize(("rate", "suffix"), [*((rate, ".mp4") for rate in RATES), ("variable", ".mkv")])
def test_sound_and_picture_are_together_after_an_hour(tmp_path: Path, rate: str, suffix: str) -> None:
    time_of = RATES[rate]
    last = next(k for k in range(80_000, 120_000) if time_of(k) >= HOUR)
    numbers = [*range(5), *range(last - 12, last + 1)]
    base = Fraction(1, 1000) if NOMINAL[rate] is None else 1 / NOMINAL[rate]
    source = hour_long(tmp_path / "source.mp4", time_of, numbers, base)
    read = list(read_frames(source))
    assert [frame.pts_seconds for frame in read] == [time_of(k) for k in numbers]  # exactly, also at the end
    out = tmp_path / f"out{suffix}"
    made = (animated_frame(f.index, f.pts_seconds, image=f.image) for f in read)
    sound = SoundSource(str(source), start_seconds=probe(source).origin_seconds)
    for _ in write_video(made, out, config=SinkConfig(frame_rate=NOMINAL[rate]), sound=sound):
        pass
    (shown, heard), (before, heard_before) = times_of(out), times_of(source)
    assert [what for _, what in heard] == [what for _, what in heard_before][: len(heard)]  # copied bit by bit
    assert len(heard) >= len(heard_before) - 2
    one_frame = 1 / (NOMINAL[rate] or Fraction(25))
    for (number, picture), (number_before, picture_before) in zip(shown, before, strict=True):
        assert number == number_before
        assert abs(picture - picture_before) < one_frame / 10
    for (at, _), (at_before, _) in zip(heard, heard_before, strict=False):
        assert abs((at - heard[0][0]) - (at_before - heard_before[0][0])) < Fraction(1, 500)
    offset = (shown[-1][1] - heard[-1][0]) - (before[-1][1] - heard_before[len(heard) - 1][0])
    assert abs(offset) <= one_frame


@pytest.mark.parametrize("rate", RATES)
def test_ninety_thousand_times_pass_the_clock_unchanged(rate: str) -> None:
    report = SourceReport()
    clock = RunningClock(step=Fraction(1, 25), report=report)
    time_of = RATES[rate]
    for k in range(0, 90_000, 5):
        placed, own = clock.place(time_of(k))
        assert own and placed == time_of(k)
    assert report == SourceReport()


def test_dropping_frames_moves_no_other() -> None:
    """A frame keeps its own time whatever is dropped before it, so the sound stays with it."""
    image = np.zeros((2, 2, 3), np.uint8)
    source = (Frame(k, varying(k), image, 0.0) for k in range(2000))
    captured = CapturedFrames(source, policy="latest", report=(report := SourceReport()))
    kept = [frame.pts_seconds for frame in captured]
    captured.close()
    indices = list(report.kept_indices())
    assert len(kept) == len(indices) and report.captured == 2000
    first = varying(indices[0])
    assert kept == [varying(k) - first for k in indices]
