"""What is known of a source before it is read, and what went wrong while it was read."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from tpc_stream.errors import InputError
from tpc_stream.hwaccel import HwAccel
from tpc_stream.reading.index_set import IndexSet

SourceKind = Literal["video", "image", "images", "camera", "screen", "pipe"]
Seconds = Fraction | float | int
"""A time; a float means the decimal number that it prints as, so 0.1 is exactly 1/10."""

MAX_WARNINGS = 1000
"""Warnings that a report keeps; a stream that comes and goes for days must not fill the memory."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened. Timeouts hold for URLs only."""

    image_rate: Fraction | int = 25
    """Frames a second of a single image, an image sequence or pictures from a pipe, which have no clock."""
    open_timeout_seconds: float = 10.0
    """A server that has not answered by then is given up; three TCP retries fit in."""
    read_timeout_seconds: float = 10.0
    """A file on a server that has sent nothing for so long counts as ended."""
    stall_seconds: float = 1.5
    """A live stream that has sent nothing for so long counts as gone, and is opened anew. A connection that died
    without a word is so given up within the 2 s in which a source that returns is to be seen again."""
    reconnect_seconds: float = 30.0
    """How long a live source that is gone is tried again before the run ends; 0: not at all."""
    retry_seconds: float = 0.5
    """From one try to the next."""
    camera_size: tuple[int, int] | None = None
    """(width, height) to ask the camera or the screen for; None takes the driver's choice, the whole screen."""
    camera_rate: Fraction | int | None = None
    """Frames a second to ask the camera or the screen for; None takes the driver's choice, 30 for the screen."""
    hwaccel: HwAccel = "none"
    """Whether NVDEC decodes files and URLs; where it cannot, software does, and it is told."""

    def __post_init__(self) -> None:
        for name in ("image_rate", "open_timeout_seconds", "read_timeout_seconds", "stall_seconds", "retry_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above zero, got {getattr(self, name)}")
        if not 0 <= self.reconnect_seconds < math.inf:
            raise InputError(f"reconnect_seconds must be a number from 0 on, got {self.reconnect_seconds}")
        if self.camera_size is not None and min(self.camera_size) < 1:
            raise InputError(f"a camera's size is at least 1x1 pixels, got {self.camera_size}")
        if self.camera_rate is not None and not self.camera_rate > 0:
            raise InputError(f"a camera's rate must be above zero, got {self.camera_rate}")


@dataclass(frozen=True, slots=True)
class SourceRange:
    """The part of a source that is asked for: half-open [start, end) in seconds after its first frame."""

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    max_frames: int | None = None

    @staticmethod
    def of(start: Seconds, end: Seconds | None, max_frames: int | None) -> SourceRange:
        """Raises InputError for a negative start, an end not after the start, or fewer than one frame."""
        exact_start, exact_end = exact_seconds(start), None if end is None else exact_seconds(end)
        if exact_start < 0:
            raise InputError(f"the start must not be negative, got {start} s")
        if exact_end is not None and exact_end <= exact_start:
            raise InputError(f"the end must come after the start, got start {start} s and end {end} s")
        if max_frames is not None and max_frames < 1:
            raise InputError(f"at least one frame must be asked for, got max_frames = {max_frames}")
        return SourceRange(exact_start, exact_end, max_frames)

    def __str__(self) -> str:
        end = "its end" if self.end is None else f"{float(self.end):g} s"
        return f"from {float(self.start):g} s to {end}"

    def count(self, duration: Fraction | None, rate: Fraction | None, total: int | None) -> int | None:
        """How many frames of a source with this duration, rate and total count fall into the range, or None."""
        if self.start == 0 and self.end is None:
            count = total
        else:
            ends = [t for t in (self.end, duration) if t is not None]
            count = None if not ends or rate is None else max(0, ceil(min(ends) * rate) - ceil(self.start * rate))
        if self.max_frames is None:
            return count
        return self.max_frames if count is None else min(count, self.max_frames)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself, checked on its first frame."""

    url: str
    kind: SourceKind
    width: int
    """Pixels, as read_frames gives it: turned upright and with square pixels."""
    height: int
    rate: Fraction | None
    """Frames a second on average; None where the source does not say."""
    variable_rate: bool
    """A hint: the container's average and smallest frame distance disagree."""
    frame_count_estimate: int | None
    """Frames in the requested range; exact where the container counts them; None for a live source without limits."""
    duration_seconds: Fraction | None
    """Of the whole source."""
    origin_seconds: Fraction
    """The first frame's time on the container's clock: what to take off the sound's times."""
    rotation_degrees: int
    """Clockwise turn that the metadata asks for and that read_frames applies: 0, 90, 180 or 270."""
    mirrored: bool
    """The metadata asks for a mirror image as well, applied before the turn."""
    audio_streams: int
    has_alpha: bool
    live: bool
    """The source cannot be read again: a camera, a screen, a pipe, or a stream without an end."""
    codec: str
    pixel_format: str

    @property
    def waits(self) -> bool:
        """The source waits for its reader, so that no frame need be lost: all but what has a clock of its own."""
        return not self.live or self.kind == "pipe"


@dataclass(slots=True)
class SourceReport:
    """Counters that read_frames, and a live source's queue, fill in while they run."""

    frames: int = 0
    """Frames that the source gave; dropped ones included, but not what a live source showed before the run began."""
    corrupt_packets: int = 0
    """Packets or image files that could not be decoded and were left out."""
    frames_missing: int = 0
    """Frames that the container promised and that did not come."""
    repaired_times: int = 0
    """Frames without a usable time, which took the one that the rate gives."""
    interrupted: str = ""
    """Why reading stopped before the source's end; empty if it did not."""
    policy: str = "none"
    """Which frames are dropped where the pipeline is slower than the source, see `drop_policy`."""
    dropped: IndexSet = field(default_factory=IndexSet)
    """Which frames the policy dropped, counted from 0 over the frames that the source gave (not over those kept)."""
    reconnects: int = 0
    """How often a live source was gone and came back."""
    offline_seconds: float = 0.0
    """How long it was away in all, from its last frame before to its first after."""
    clock_restarts: int = 0
    """How often the source's clock jumped; its times were continued from the frame before."""
    format_changes: int = 0
    """How often the size or the pixel format changed in mid-stream."""
    warnings: list[str] = field(default_factory=list)

    @property
    def captured(self) -> int:
        """Frames that the source gave, kept or dropped."""
        return self.frames

    def kept_indices(self) -> Iterator[int]:
        """Which of the source's frames went on: the k-th is the pipeline's frame k."""
        return (index for index in range(self.frames) if index not in self.dropped)

    def warn(self, text: str) -> None:
        """Keeps the text, the first MAX_WARNINGS of a run, and logs it as a warning."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)
        log.warning("%s", text)


def exact_seconds(value: Seconds) -> Fraction:
    """The time as a fraction. Raises InputError if it is not a finite number."""
    try:
        return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"a time must be a finite number of seconds, got {value!r}") from error


def ceil(value: Fraction) -> int:
    """The smallest whole number that is not below the value."""
    return -(-value.numerator // value.denominator)
