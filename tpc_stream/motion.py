"""The driving motion, opened as what it is: a file, a file played as a camera would be, or a live source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from tpc_stream.captured import CapturedFrames
from tpc_stream.drop_policy import DropPolicy
from tpc_stream.errors import InputError, SourceError
from tpc_stream.frame import Frame
from tpc_stream.options import AnimateOptions
from tpc_stream.profile import Profiler
from tpc_stream.reading.inputs import kind_of, may_be_live
from tpc_stream.reading.live_reader import LiveReader
from tpc_stream.reading.realtime import RealtimeFrames
from tpc_stream.reading.source_info import (
    Seconds,
    SourceInfo,
    SourceOptions,
    SourceRange,
    SourceReport,
)
from tpc_stream.source import probe, read_frames


class Motion(ABC):
    """An open driving motion. Iterate over it once, then close it."""

    def __init__(self) -> None:
        self.report = SourceReport()

    @property
    @abstractmethod
    def info(self) -> SourceInfo:
        """What it is. Raises SourceError where it cannot be read, or a file has no frame in the range."""

    @property
    def live(self) -> bool:
        """Its frames come when they come, and are dropped where nobody takes them in time."""
        return True

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Its frames, index 0, 1, 2, ..., in the thread that iterates."""

    @abstractmethod
    def stop(self) -> None:
        """Whoever waits for a frame sees the end soon. From any thread."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the source. From any thread, once nobody iterates."""


def open_motion(
    url: str | Path,
    *,
    start_seconds: Seconds = 0,
    end_seconds: Seconds | None = None,
    max_frames: int | None = None,
    realtime: bool = False,
    drop: DropPolicy | None = None,
    options: SourceOptions | None = None,
    profiler: Profiler | None = None,
) -> Motion:
    """The motion, opened; of what has no second beginning (a camera, a screen, a pipe, a stream) only once.

    realtime: play a file at its own rate, as a camera would give it. drop: what happens to frames that come faster
    than they are taken; None: "latest" for what does not wait, "none" for files and pipes. max_frames and end_seconds
    count over the frames that are kept. A live source has no start to count from.

    Raises SourceError where a live source cannot be opened or sends nothing; InputError for a bad range, or where
    realtime or start_seconds is asked of a live source.
    """
    options = options or SourceOptions()
    wanted = SourceRange.of(start_seconds, end_seconds, max_frames)
    if may_be_live(str(url)):
        live = _LiveMotion(str(url), wanted, drop=drop, options=options, profiler=profiler)
        if not live.finite:
            if realtime or wanted.start > 0:
                live.close()
                asked = "--realtime" if realtime else "--start"
                raise InputError(f"{asked} is for files, {url} has a clock of its own: leave it out")
            return live
        live.close()
    if realtime or drop not in (None, "none"):
        return _PlayedMotion(url, wanted, realtime=realtime, drop=drop, options=options, profiler=profiler)
    return _FileMotion(url, wanted, options)


def open_as(options: AnimateOptions, url: str | Path, *, profiler: Profiler | None = None) -> Motion:
    """The motion, opened as a run's options say. Errors as of `open_motion`."""
    return open_motion(
        url,
        start_seconds=options.start_seconds,
        end_seconds=options.end_seconds,
        max_frames=options.max_frames,
        realtime=options.realtime,
        drop=options.drop,
        options=options.source_options,
        profiler=profiler,
    )


class _FileMotion(Motion):
    """A file as fast as it is asked for."""

    def __init__(self, url: str | Path, wanted: SourceRange, options: SourceOptions) -> None:
        super().__init__()
        self.url, self.wanted, self.options = url, wanted, options

    @property
    def live(self) -> bool:
        return False

    @cached_property
    def info(self) -> SourceInfo:
        w = self.wanted
        found = probe(self.url, start_seconds=w.start, end_seconds=w.end, max_frames=w.max_frames, options=self.options)
        if found.frame_count_estimate == 0:  # only what the file says of itself: reading knows
            with closing(self._frames(SourceReport())) as frames:
                next(frames, None)
        return found

    def _frames(self, report: SourceReport) -> Generator[Frame, None, None]:
        w = self.wanted
        return read_frames(
            self.url,
            start_seconds=w.start,
            end_seconds=w.end,
            max_frames=w.max_frames,
            report=report,
            options=self.options,
        )

    def __iter__(self) -> Iterator[Frame]:
        return self._frames(self.report)

    def stop(self) -> None:
        """A file's next frame is never far."""

    def close(self) -> None:
        """The file is closed by the iterator."""


class _PlayedMotion(_FileMotion):
    """A file through a queue with a policy: at its own rate, or as fast as it decodes."""

    def __init__(
        self,
        url: str | Path,
        wanted: SourceRange,
        *,
        realtime: bool,
        drop: DropPolicy | None,
        options: SourceOptions,
        profiler: Profiler | None,
    ) -> None:
        super().__init__(url, wanted, options)
        frames = read_frames(
            url, start_seconds=wanted.start, end_seconds=wanted.end, report=self.report, options=options
        )
        self._captured = CapturedFrames(
            RealtimeFrames(frames) if realtime else frames,
            policy=drop or "latest",
            report=self.report,
            max_frames=wanted.max_frames,
            profiler=profiler,
        )

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._captured)

    def stop(self) -> None:
        self._captured.stop()

    def close(self) -> None:
        self._captured.close()


class _LiveMotion(Motion):
    """A source that is read from the moment it is opened, whether or not the pipeline is ready for it."""

    def __init__(
        self,
        url: str,
        wanted: SourceRange,
        *,
        drop: DropPolicy | None,
        options: SourceOptions,
        profiler: Profiler | None,
    ) -> None:
        super().__init__()
        self._wanted = wanted
        self._reader = LiveReader(url, options, self.report)
        waits = kind_of(url) == "pipe"
        self._captured = CapturedFrames(
            self._reader,
            policy=drop or ("none" if waits else "latest"),
            report=self.report,
            end_seconds=wanted.end,
            max_frames=wanted.max_frames,
            profiler=profiler,
        )
        try:
            # Opening has its own limits; a pipe may be fed by somebody who is slow to start.
            first = self._captured.first(timeout_seconds=None if waits else 3 * options.open_timeout_seconds)
        except TimeoutError as error:
            self.close()
            raise SourceError(f"{url} gave no picture within {3 * options.open_timeout_seconds:g} s") from error
        except BaseException:
            self.close()
            raise
        if first is None and not self.finite:
            raise SourceError(f"{url} has no frame that can be decoded: check what it sends")

    @property
    def finite(self) -> bool:
        """It is a file on a server after all."""
        return self._reader.finite

    @property
    def info(self) -> SourceInfo:
        info = self._reader.info  # set before the first frame, for which the constructor waited
        if info is None:
            raise SourceError(f"{self._reader.url} is a file on a server, and is read as one")
        return replace(info, frame_count_estimate=self._wanted.count(None, info.rate, None))

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._captured)

    def stop(self) -> None:
        self._captured.stop()

    def close(self) -> None:
        self._captured.close()
