"""What is known of a source before it is read, and what went wrong while it was read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from tpc_stream.errors import InputError

SourceKind = Literal["video", "image", "images", "camera"]
Seconds = Fraction | float | int
"""A time; a float means the decimal number that it prints as, so 0.1 is exactly 1/10."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened. Timeouts hold for URLs only."""

    image_rate: Fraction | int = 25
    """Frames a second of a single image or an image sequence, which have no clock of their own."""
    open_timeout_seconds: float = 10.0
    """A server that has not answered by then is given up; three TCP retries fit in."""
    read_timeout_seconds: float = 10.0
    """A stream that has sent nothing for so long counts as ended."""
    camera_size: tuple[int, int] | None = None
    """(width, height) to ask the camera for; None takes the driver's choice."""
    camera_rate: Fraction | int | None = None
    """Frames a second to ask the camera for; None takes the driver's choice."""

    def __post_init__(self) -> None:
        for name in ("image_rate", "open_timeout_seconds", "read_timeout_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above zero, got {getattr(self, name)}")


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
    """The source cannot be read again: a camera, or a stream without an end."""
    codec: str
    pixel_format: str


@dataclass(slots=True)
class SourceReport:
    """Counters that read_frames fills in while it runs."""

    frames: int = 0
    """Frames handed out."""
    corrupt_packets: int = 0
    """Packets or image files that could not be decoded and were left out."""
    frames_missing: int = 0
    """Frames that the container promised and that did not come."""
    repaired_times: int = 0
    """Frames without a usable time, which took the one that the rate gives."""
    interrupted: str = ""
    """Why reading stopped before the source's end; empty if it did not."""
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Keeps the text and logs it as a warning."""
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
