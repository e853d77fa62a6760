"""How a video file is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tpc_stream.errors import InputError
from tpc_stream.hwaccel import HwAccel
from tpc_stream.writing.video_formats import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """How the video file is written."""

    codec: Codec = "h264"
    """Which codec; the container is chosen by the suffix of the path."""
    crf: int | None = None
    """Constant rate factor, lower is better and larger; None for the codec's own default (`video_formats.ENCODERS`)."""
    frame_rate: Fraction | None = None
    """Pictures a second, nominally (None: 30): it steers the encoder and is noted in the file; the frames keep their
    own times."""
    time_base: Fraction | None = None
    """Seconds in one tick of the file's clock. Give a source's own, and all its times are exact; None takes
    1/90000 or finer, exact for a constant `frame_rate` and within 6 us else. MKV and WebM keep whole milliseconds."""
    keyframe_seconds: float = 2.0
    """Seconds between key frames: what a file that is cut off loses at most, besides what the encoder looks ahead."""
    threads: int = 1
    """Threads of the encoder; fixed, since their number changes the bits of the file. One takes 6 ms for 512x512
    pictures in h264, two take 4.5 ms: the cores are better left to the networks."""
    hwaccel: HwAccel = "none"
    """Whether NVENC encodes h264 and hevc; where it cannot, software does, and it is told."""
    faststart: bool = False
    """Rewrite a finished MP4 or MOV so that its index stands at the front, as web players like it."""

    def __post_init__(self) -> None:
        for name in ("frame_rate", "time_base", "keyframe_seconds", "threads"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise InputError(f"{name} of a sink must be above zero, got {value}")

    @property
    def rate(self) -> Fraction:
        """`frame_rate`, or 30 where it is not known."""
        return self.frame_rate or Fraction(30)
