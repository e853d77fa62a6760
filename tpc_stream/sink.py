"""The end of the pipeline: frames become a video file, and pass on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.writing.faststart import join_fragments
from tpc_stream.writing.sink_config import SinkConfig
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.video_file import VideoFile
from tpc_stream.writing.video_formats import check_codec, container_of

__all__ = ["SinkConfig", "SinkReport", "write_video"]


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
    KeyboardInterrupt included; then it holds the frames so far. Where no picture of it plays, no file is left.
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
        _remove_broken(file, error)
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
    _remove_broken(file, error)


def _remove_broken(file: VideoFile, error: BaseException) -> None:
    if file.remove_broken():
        error.add_note(f"nothing that plays was written to {file.path}, so it was removed")
