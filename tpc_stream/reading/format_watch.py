"""Whether the pictures of a stream keep their size and pixel format."""

from __future__ import annotations

import av

from tpc_stream.reading.source_info import SourceReport


class FormatWatch:
    """Counts the changes, and warns of the first: each frame is fitted by its own size, so that none is harm."""

    def __init__(self, url: str, report: SourceReport) -> None:
        self._url, self._report = url, report
        self._last: tuple[int, int, str] | None = None

    def see(self, frame: av.VideoFrame) -> None:
        """The next decoded frame."""
        now = (frame.width, frame.height, frame.format.name)
        if self._last is not None and now != self._last:
            self._report.format_changes += 1
            if self._report.format_changes == 1:
                (w, h, pixels), (width, height, new) = self._last, now
                self._report.warn(f"{self._url} changed from {w}x{h} {pixels} to {width}x{height} {new} in mid-stream")
        self._last = now
