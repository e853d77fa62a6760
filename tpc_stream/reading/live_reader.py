"""A live source's frames as they come: opened once, opened anew when it is gone and returns, on one running clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from tpc_stream.errors import SourceError
from tpc_stream.frame import Frame
from tpc_stream.reading.container import Media, open_media
from tpc_stream.reading.decoding import frame_step, live_frames
from tpc_stream.reading.format_watch import FormatWatch
from tpc_stream.reading.media_info import info_of, pixel_reader
from tpc_stream.reading.pipe import PipeReader
from tpc_stream.reading.running_clock import RunningClock
from tpc_stream.reading.source_info import SourceInfo, SourceOptions, SourceRange, SourceReport

SLICE_SECONDS = 0.05
"""Longest single sleep between two tries: how soon it ends once nobody wants more."""

log = logging.getLogger(__name__)


class LiveReader:
    """Iterate over it once, in the thread that reads. Frames are numbered from 0 and never renumbered by a gap."""

    def __init__(
        self,
        url: str,
        options: SourceOptions,
        report: SourceReport,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self.info: SourceInfo | None = None
        """Known from the first frame on."""
        self.finite = False
        """It turned out to be a file on a server, and gave nothing: read it as a file."""
        self._options, self._report, self._sleep = options, report, sleep
        self._interrupted = False
        self._pipe: PipeReader | None = None
        self._clock: RunningClock | None = None
        self._watch = FormatWatch(url, report)
        self._count = 0
        self._last_captured = 0.0
        self._gone = ""
        """Why there is no connection; empty while there is one."""

    def __iter__(self) -> Iterator[Frame]:
        """Raises SourceError if the source cannot be opened at first; what happens later is told in the report."""
        while not self._interrupted:
            try:
                with open_media(self.url, self._options, again=self._count > 0, opened=self._keep_pipe) as media:
                    if not media.live:
                        self.finite = True
                        return
                    yield from self._connected(media)
                reason = self._report.interrupted or "it ended"
            except SourceError as error:
                if not self._count:
                    raise
                reason = str(error)
            if not self._count:
                raise SourceError(f"{self.url} has no frame that can be decoded: check what it sends")
            if self._pipe is not None or not self._wait_for_return(reason):
                return

    def interrupt(self) -> None:
        """Ends soon: a wait at once, a read within `stall_seconds`."""
        self._interrupted = True
        if self._pipe is not None:
            self._pipe.interrupt()

    def _connected(self, media: Media) -> Iterator[Frame]:
        clock = self._clock = self._clock or RunningClock(step=frame_step(media), report=self._report)
        reader = None
        for item in live_frames(media, self._report, clock):
            if self._interrupted:
                return
            reader = reader or pixel_reader(media, item.frame)
            self._watch.see(item.frame)
            image, alpha = reader.read(item.frame)
            if self.info is None:
                self.info = info_of(
                    media,
                    item,
                    image,
                    orientation=reader.orientation,
                    has_alpha=alpha is not None,
                    wanted=SourceRange(),
                )
            if self._gone:
                self._returned(item.captured_seconds)
            frame = Frame(self._count, item.seconds, image, item.captured_seconds, alpha)
            self._count += 1
            self._last_captured = item.captured_seconds
            yield frame

    def _keep_pipe(self, pipe: PipeReader) -> None:
        self._pipe = pipe

    def _returned(self, captured: float) -> None:
        away = captured - self._last_captured
        self._gone = self._report.interrupted = ""
        self._report.reconnects += 1
        self._report.offline_seconds += away
        log.warning("%s is back after %.1f s", self.url, away)

    def _wait_for_return(self, reason: str) -> bool:
        """Whether to try again, after a while; the report says why not."""
        options, report = self._options, self._report
        if self._interrupted:
            return False
        away = time.perf_counter() - self._last_captured
        if not self._gone:
            self._gone = reason
            if self._clock is not None:
                self._clock.lost()
            if options.reconnect_seconds:
                report.warn(f"{self.url} is gone ({reason}): trying again for {options.reconnect_seconds:g} s")
        if away >= options.reconnect_seconds:
            if options.reconnect_seconds:
                report.interrupted = f"{self.url} was gone for {options.reconnect_seconds:g} s ({self._gone})"
                report.warn(f"{report.interrupted}: the run ends")
            return False
        until = time.perf_counter() + options.retry_seconds
        while not self._interrupted and time.perf_counter() < until:
            self._sleep(SLICE_SECONDS)
        return not self._interrupted
