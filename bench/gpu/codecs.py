"""Video in and out, in software and by the GPU: `python -m bench.gpu.codecs SIZES FOLDER SECONDS`.

As the product does it: pictures in the host's memory become a file by `tpc_stream.sink.write_video`, and the file
pictures again by `tpc_stream.source.read_frames`, colours converted in both. Needs PyAV, as no other process of the
benchmark does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.gpu.examples import psnr
from bench.gpu.memory_watch import Times
from bench.gpu.rows import Row, append, percentiles
from bench.gpu.sizes import FULL, REHEARSAL, Sizes
from tpc_stream.errors import TpcStreamError
from tpc_stream.frame import IDENTITY, AnimatedFrame, CalibratedFrame, Calibration, Frame
from tpc_stream.hwaccel import HwAccel, noted_returns

NEEDED = "av"
RATE = Fraction(25)
CYCLE = 50
"""Frames after which the made-up pictures begin again."""
CHECKED = 8
"""Frames whose pictures are compared."""
SOFTWARE: HwAccel = "none"
HARDWARE: HwAccel = "cuda"


class InSoftware(Exception):
    """The product went back to software: there is no figure of the GPU."""


@dataclass(frozen=True, slots=True)
class Coding:
    """One row."""

    doing: Literal["encode", "decode"]
    codec: Literal["h264", "hevc"]
    hwaccel: HwAccel

    @property
    def by(self) -> str:
        return "software" if self.hwaccel == SOFTWARE else {"encode": "NVENC", "decode": "NVDEC"}[self.doing]

    @property
    def row(self) -> Row:
        """Without figures."""
        return Row(kind="codec", backend=self.by, what=f"{self.doing} {self.codec}")


CODINGS = tuple(
    Coding(doing, codec, hwaccel)
    for hwaccel in (SOFTWARE, HARDWARE)  # what software encodes is what both decode
    for doing in ("encode", "decode")
    for codec in ("h264", "hevc")
)


def codec_rows(sizes: Sizes, folder: Path, *, process: float, until: float) -> Iterator[Row]:
    """Each coding that is there and fits into the time; of the others a row that says why.

    process, until: when this process began, and when to begin nothing more, on the monotonic clock.
    """
    if find_spec(NEEDED) is None:
        for by in dict.fromkeys(coding.by for coding in CODINGS):
            yield Row(kind="absent", backend=by, what=f"video: not installed: {NEEDED} -> pip install {NEEDED}")
        return
    pictures = [picture(number, sizes.pixels) for number in range(min(CYCLE, sizes.clip))]
    for coding in CODINGS:
        begun = time.monotonic()
        source = folder / f"software-{coding.codec}.mp4"
        if begun > until or (coding.doing == "decode" and not source.is_file()):
            yield Row(kind="left out", backend=coding.by, what=coding.row.what)
            continue
        try:
            if coding.doing == "decode":
                row = _decoded(coding, source, pictures)
            else:
                row = _encoded(coding, folder / f"{coding.by}-{coding.codec}.mp4", pictures, sizes.clip)
        except (TpcStreamError, InSoftware) as error:
            yield Row(kind="absent", backend=coding.by, what=f"{coding.row.what}: {error}")
            continue
        yield replace(row, times=Times(process, begun, time.monotonic()))


def timed_steps(
    steps: Iterable[object], returns: list[str], *, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """p50_ms, p90_ms, p99_ms, count and fps of all steps but the first, in which files and codecs are opened.

    fps counts what comes after the last step too: what an encoder held back is written there. Errors: InSoftware as
    soon as something is in `returns`.
    """
    marks = []
    for _ in steps:
        marks.append(clock())
        if returns:
            raise InSoftware(returns[0])
    end = clock()
    return percentiles(np.diff(marks).tolist()) | {"fps": (len(marks) - 1) / (end - marks[0])}


def picture(number: int, pixels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """HWC RGB uint8, square: a ground with a grain of its own, and a striped disc that goes round once a cycle."""
    y, x = np.mgrid[:pixels, :pixels] / pixels
    grain = np.random.default_rng(0).normal(0, 6, (pixels, pixels))
    ground = np.stack([60 + 120 * x, 70 + 100 * y, 150 - 80 * x * y], axis=-1) + grain[..., None]
    angle = 2 * np.pi * (number % CYCLE) / CYCLE
    right, down = x - 0.5 - 0.25 * np.cos(angle), y - 0.5 - 0.25 * np.sin(angle)
    stripes = 128 + 90 * np.sign(np.sin(40 * (right * np.cos(angle) + down * np.sin(angle))))
    image = np.where((np.hypot(right, down) < 0.18)[..., None], stripes[..., None] * [1.0, 0.8, 0.6], ground)
    return np.clip(image, 0, 255).astype(np.uint8)


def _encoded(coding: Coding, path: Path, pictures: list[Any], count: int) -> Row:
    from tpc_stream.sink import SinkConfig, write_video
    from tpc_stream.source import read_frames

    config = SinkConfig(codec=coding.codec, frame_rate=RATE, hwaccel=coding.hwaccel)
    # a generator, which has a close
    written: Any = write_video((_animated(k, pictures[k % len(pictures)]) for k in range(count)), path, config=config)
    with noted_returns() as returns, closing(written):
        figures = timed_steps(written, returns)
    shown = [frame.image for frame in read_frames(path, max_frames=CHECKED)]
    kilobytes = path.stat().st_size / count / 1e3
    return replace(coding.row, **figures, psnr_db=_psnr(pictures, shown), kilobytes=kilobytes)


def _decoded(coding: Coding, path: Path, pictures: list[Any]) -> Row:
    from tpc_stream.source import SourceOptions, read_frames

    shown: list[Any] = []

    def seen() -> Iterator[None]:
        for frame in frames:
            if len(shown) < CHECKED:
                shown.append(frame.image)
            yield

    frames: Any = read_frames(path, options=SourceOptions(hwaccel=coding.hwaccel))
    with noted_returns() as returns, closing(frames):
        figures = timed_steps(seen(), returns)
    return replace(coding.row, **figures, psnr_db=_psnr(pictures, shown))


def _psnr(expected: list[Any], found: list[Any]) -> float:
    """Of the worst picture."""
    return min(psnr(one, other.astype(np.float64)) for one, other in zip(expected, found, strict=False))


def _animated(number: int, image: Any) -> AnimatedFrame:
    seconds = number / RATE
    source = CalibratedFrame(Frame(number, seconds, image, 0.0), None, Calibration(IDENTITY, subset=0, iou=0.0))
    return AnimatedFrame(number, seconds, image, 0.0, source)


def main(argv: list[str]) -> int:
    name, folder, seconds, *_ = argv
    process = time.monotonic()
    sizes = {"full": FULL, "rehearsal": REHEARSAL}[name]
    for row in codec_rows(sizes, Path(folder), process=process, until=process + float(seconds)):
        append(Path(folder) / "rows.jsonl", row)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
