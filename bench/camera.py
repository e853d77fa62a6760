"""Frames in memory as a camera gives them: at their own pace, through the real queue with its drop policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tpc_stream.captured import CapturedFrames
from tpc_stream.drop_policy import DropPolicy
from tpc_stream.errors import SourceError
from tpc_stream.frame import Frame
from tpc_stream.motion import Motion
from tpc_stream.profile import Profiler
from tpc_stream.reading.realtime import RealtimeFrames
from tpc_stream.reading.source_info import SourceInfo


class Camera(Motion):
    """What `--realtime` makes of a file, without the file. A frame is captured when it is due by its pts."""

    def __init__(self, frames: Iterable[Frame], *, drop: DropPolicy, profiler: Profiler | None = None) -> None:
        super().__init__()
        self._captured = CapturedFrames(RealtimeFrames(frames), policy=drop, report=self.report, profiler=profiler)

    @property
    def info(self) -> SourceInfo:
        raise SourceError("frames in memory have no container that could be looked at")

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._captured)

    def stop(self) -> None:
        self._captured.stop()

    def close(self) -> None:
        self._captured.close()
