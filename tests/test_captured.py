"""The queue behind a live source: what goes on, under which number, and what the profile says of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from tests.live_streams import wait_until
from tpc_stream.captured import QUEUE_NAME, CapturedFrames
from tpc_stream.drop_policy import DropPolicy
from tpc_stream.errors import SourceError
from tpc_stream.flow import flow_findings, flow_record, note_flow
from tpc_stream.frame import Frame
from tpc_stream.profile import Profiler
from tpc_stream.reading.source_info import SourceReport
from tpc_stream.writing.steady import DeliveryReport

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Stepped:
    """Gives as many frames as it was told to so far, then waits."""

    def __init__(self) -> None:
        self.allowed = 0
        self.given = 0
        self.over = False
        self.error: Exception | None = None
        self.changed = threading.Condition()

    def allow(self, count: int) -> None:
        with self.changed:
            self.allowed += count
            self.changed.notify_all()
        wait_until(lambda: self.given == self.allowed)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.given < self.allowed or self.over or self.error)
                if self.error is not None:
                    raise self.error
                if self.over:
                    return
                number = self.given
            yield Frame(number, 5 + Fraction(number, 30), IMAGE, float(number))
            self.given += 1

    def interrupt(self) -> None:
        with self.changed:
            self.over = True
            self.changed.notify_all()


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"),
    [("latest", [0, 4, 5], [(1, 3)]), ("oldest", [0, 1, 2], [(3, 5)])],
)
def test_what_goes_on_is_numbered_without_gaps(
    policy: DropPolicy, kept: list[int], dropped: list[tuple[int, int]]
) -> None:
    source, report, profiler = Stepped(), SourceReport(), Profiler()
    captured = CapturedFrames(source, policy=policy, report=report, profiler=profiler)
    frames = iter(captured)
    ahead = threading.Thread(target=source.allow, args=(1,))
    ahead.start()
    taken = [next(frames)]
    ahead.join()
    source.allow(5)
    taken += [next(frames), next(frames)]
    captured.close()
    assert [int(frame.captured_seconds) for frame in taken] == kept
    assert [frame.index for frame in taken] == [0, 1, 2]
    assert [frame.pts_seconds for frame in taken] == [Fraction(k, 30) for k in kept]
    assert (report.captured, report.dropped.ranges(), report.policy) == (6, dropped, policy)
    assert list(report.kept_indices()) == kept
    (queue,) = profiler.session().queues
    assert queue.name == QUEUE_NAME and queue.consumer_wait.count == 3 and queue.max_depth <= 2


def test_frames_before_the_run_count_nowhere() -> None:
    source, report = Stepped(), SourceReport()
    captured = CapturedFrames(source, policy="latest", report=report)
    ahead = threading.Thread(target=source.allow, args=(9,))
    ahead.start()
    first = captured.first()
    assert first is not None
    ahead.join()
    frames = iter(captured)
    ahead = threading.Thread(target=lambda: (wait_until(lambda: captured._running), source.allow(1)))
    ahead.start()
    frame = next(frames)
    ahead.join()
    captured.close()
    assert (frame.index, frame.pts_seconds, frame.captured_seconds) == (0, 0, 9.0)
    assert (report.captured, len(report.dropped)) == (1, 0)


def test_what_the_source_raises_is_raised() -> None:
    source = Stepped()
    source.error = SourceError("gone")
    captured = CapturedFrames(source, policy="latest", report=SourceReport())
    with pytest.raises(SourceError, match="gone"):
        captured.first()
    captured.close()


def test_the_profile_and_the_summary_name_what_was_lost() -> None:
    report, delivery, profiler = SourceReport(frames=10, policy="latest"), DeliveryReport(), Profiler()
    note_flow(profiler, report, delivery, live=False)
    assert profiler.counters == {} and flow_findings(report, delivery) == []
    for index in (2, 3, 7):
        report.dropped.add(index)
    report.reconnects, report.offline_seconds, report.interrupted = 2, 3.25, "the cable was cut"
    delivery.repeated.add(1)
    delivery.repeats = 4
    delivery.skipped.add(5)
    note_flow(profiler, report, delivery, live=True)
    record = flow_record(report, delivery)
    assert profiler.notes["flow"] == record
    assert record["dropped"] == [[2, 3], [7, 7]] and record["repeated"] == [[1, 1]] and record["skipped"] == [[5, 5]]
    assert profiler.counters["frames dropped"] == 3 and profiler.counters["frames repeated"] == 4
    text = "\n".join(flow_findings(report, delivery))
    for part in ("3 of 10 frames were dropped (30%", "came back 2 times, 3.2 s", "4 frames were repeated", "cable"):
        assert part in text
