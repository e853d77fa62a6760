"""The end of the pipeline: frames become a video file, and pass on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.writing.faststart import join_fragments
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.video_file import VideoFile
from tpc_stream.writing.video_formats import Codec, check_codec, container_of


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


@dataclass(frozen=True, slots=True)
class SinkReport:
    """What was written, once the file is closed."""

    path: Path
    frames: int
    seconds: Fraction
    """Length of the video."""
    size_bytes: int


def write_video(
    frames: Iterable[AnimatedFrame],
    path: str | Path,
    *,
    config: SinkConfig | None = None,
    sound: SoundSource | None = None,
    report: Callable[[SinkReport], None] | None = None,
) -> Iterator[AnimatedFrame]:
    """A stage that encodes every frame to `path` and passes it on. Call `check_output` before anything runs.

    The file is finished when the frames end, when the consumer closes the generator, and when anything is raised,
    KeyboardInterrupt included; then it holds the frames so far. Where nothing was encoded yet, no file is left.
    Equal frames and an equal config give equal bits. `report` is called once the file is finished without an error.

    Raises SinkError: a codec, crf or size that cannot be written; times that do not grow; a full disk; no frame at all.
    Raises SourceError where the sound cannot be read.
    """
    path, config = Path(path), config or SinkConfig()
    encoder = check_codec(path, config.codec)
    if config.crf is not None and encoder.default_crf is None:
        raise SinkError(f"{config.codec} is lossless and takes no crf, got {config.crf}: leave it out")
    if config.crf is not None and not 0 <= config.crf <= encoder.highest_crf:
        raise SinkError(f"{config.codec} takes a crf from 0 (best) to {encoder.highest_crf}, got {config.crf}")
    return _write(frames, path, config, sound, report)


def _write(
    frames: Iterable[AnimatedFrame],
    path: Path,
    config: SinkConfig,
    sound: SoundSource | None,
    report: Callable[[SinkReport], None] | None,
) -> Iterator[AnimatedFrame]:
    file: VideoFile | None = None
    try:
        for frame in frames:
            if file is None:
                height, width = frame.image.shape[:2]
                file = VideoFile(
                    path, size=(width, height), first_seconds=frame.pts_seconds, config=config, sound=sound
                )
            file.write(frame.image, frame.pts_seconds)
            yield frame
    except GeneratorExit:
        if file is not None:
            _finish(file, config, report)
        raise
    except BaseException as error:
        if file is not None:
            _abandon(file, error)
        raise
    if file is None:
        raise SinkError(f"no frame reached the output, so {path} was not written: check the range and the source")
    _finish(file, config, report)


def _finish(file: VideoFile, config: SinkConfig, report: Callable[[SinkReport], None] | None) -> None:
    try:
        file.close()
    except BaseException as error:
        _remove_empty(file, error)
        raise
    if config.faststart and container_of(file.path).fragmented:
        join_fragments(file.path)
    if report is not None:
        report(SinkReport(file.path, file.frames, file.end_seconds, file.path.stat().st_size))


def _abandon(file: VideoFile, error: BaseException) -> None:
    try:
        file.close()
    except Exception as second:
        error.add_note(f"while closing {file.path}: {second}")
    _remove_empty(file, error)


def _remove_empty(file: VideoFile, error: BaseException) -> None:
    if file.frames == 0:
        file.path.unlink(missing_ok=True)
        error.add_note(f"nothing was written to {file.path}")
