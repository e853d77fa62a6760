"""Drop policies: what each keeps, and that ten minutes of twice the load end as they began. On a clock of our own."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from tpc_stream.drop_policy import CAPACITY_FRAMES, DropPolicy, Line
from tpc_stream.errors import InputError
from tpc_stream.reading.index_set import IndexSet


@dataclass
class Outcome:
    """What became of a simulated run."""

    kept: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    """Seconds from capture until the consumer was done, of the frames kept."""
    dropped: IndexSet = field(default_factory=IndexSet)
    deepest: int = 0


def simulate(policy: DropPolicy, *, source: float, service: list[float], seconds: float) -> Outcome:
    """A source of one frame every `source` seconds, and a consumer that takes service[k % n] seconds for its k-th."""
    out = Outcome()
    line: Line[int] = Line(capacity=CAPACITY_FRAMES, policy=policy, lost=lambda item, number: out.dropped.add(number))
    idle_since, busy_until, taken = 0.0, 0.0, 0
    delay = 0.0  # how far a source that waits has fallen behind
    number = 0
    while number * source + delay < seconds:
        now = number * source + delay
        while line and busy_until <= now:
            began = max(busy_until, idle_since)
            item, _ = line.take(asked=busy_until, now=began)
            busy_until = began + service[taken % len(service)]
            taken += 1
            out.kept.append(item)
            out.latencies.append(busy_until - item * source)
        if line.blocked:
            delay += busy_until - now
            continue
        line.put(number, now)
        out.deepest = max(out.deepest, len(line))
        idle_since = now
        number += 1
    return out


def test_each_policy_keeps_what_it_says() -> None:
    kept = {}
    for policy in ("latest", "oldest", "adaptive"):
        lost: list[int] = []
        line: Line[int] = Line(capacity=2, policy=policy, lost=lambda item, number, lost=lost: lost.append(item))
        for item in range(5):
            line.put(item, float(item))
        kept[policy] = [line.take(asked=5.0, now=5.0)[0] for _ in range(len(line))]
        assert sorted(lost + kept[policy]) == [0, 1, 2, 3, 4]
        assert line.offered == 5
    assert kept == {"latest": [3, 4], "oldest": [0, 1], "adaptive": [3, 4]}


def test_none_asks_its_producer_to_wait() -> None:
    line: Line[int] = Line(capacity=2, policy="none")
    assert not line.blocked
    line.put(0, 0.0)
    line.put(1, 0.0)
    assert line.blocked and line.first() == 0
    assert line.take(asked=1.0, now=1.0) == (0, 0.0)
    assert not line.blocked


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="'newest'"):
        Line(capacity=1, policy="newest")  # type: ignore[arg-type]  # what a caller without types may give


@pytest.mark.parametrize("policy", ["latest", "oldest", "adaptive"])
@pytest.mark.parametrize("bursts", [False, True])
def test_ten_minutes_of_twice_the_load_end_as_they_began(policy: DropPolicy, bursts: bool) -> None:
    # in bursts: windows of 8 that hold the consumer up at their end; it then waits for the next few frames
    service = [0.01] * 7 + [8 / 15 - 0.07] if bursts else [1 / 15]
    run = simulate(policy, source=1 / 30, service=service, seconds=600)
    count = 600 * 30
    assert 0.6 * count / 2 < len(run.kept) < 1.02 * count / 2 if bursts else len(run.kept) > 0.98 * count / 2
    assert len(run.kept) + len(run.dropped) >= count - CAPACITY_FRAMES - 1
    assert not set(run.kept) & set(run.dropped)
    assert run.deepest <= CAPACITY_FRAMES
    minute = len(run.latencies) // 10
    p99 = [float(np.percentile(run.latencies[k * minute : (k + 1) * minute], 99)) for k in range(10)]
    assert max(p99) <= 1.05 * min(p99) + 1e-6, p99
    assert max(p99) < max(service) + CAPACITY_FRAMES * max(service) + 1 / 30


def test_latest_is_the_freshest() -> None:
    by_policy = {p: simulate(p, source=1 / 30, service=[1 / 15], seconds=60) for p in ("latest", "oldest", "none")}
    median = {policy: float(np.median(run.latencies)) for policy, run in by_policy.items()}
    assert median["latest"] < median["oldest"]
    assert median["none"] > 10  # nothing is dropped, so the delay grows: half a minute behind after a minute
    assert not len(by_policy["none"].dropped)


@pytest.mark.parametrize(("load", "gaps"), [(1.5, {1, 2}), (2.0, {2}), (3.0, {3}), (2.5, {2, 3})])
def test_adaptive_thins_evenly(load: float, gaps: set[int]) -> None:
    run = simulate("adaptive", source=1 / 30, service=[load / 30], seconds=120)
    settled = run.kept[len(run.kept) // 4 :]
    between = [after - before for before, after in pairwise(settled)]
    assert {gap for gap in between if between.count(gap) > len(between) / 100} <= gaps
    assert np.mean(between) == pytest.approx(load, rel=0.05)


@pytest.mark.parametrize("policy", ["latest", "oldest", "adaptive"])
def test_a_pipeline_that_keeps_up_loses_nothing(policy: DropPolicy) -> None:
    run = simulate(policy, source=1 / 30, service=[0.9 / 30], seconds=120)
    assert len(run.dropped) == 0
    assert run.kept == list(range(len(run.kept)))


def test_adaptive_recovers_from_a_slow_spell() -> None:
    slow = simulate("adaptive", source=1 / 30, service=[1.0] * 5 + [0.02] * 3000, seconds=60)
    assert slow.kept[-1] - slow.kept[-300] == 299  # every frame again


def test_memory_does_not_grow_with_the_overload() -> None:
    def peak(seconds: float) -> int:
        tracemalloc.start()
        dropped = IndexSet()
        line: Line[bytes] = Line(capacity=CAPACITY_FRAMES, policy="latest", lost=lambda item, n: dropped.add(n))
        for number in range(int(30 * seconds)):
            line.put(bytes(1000), number / 30)
            if number % 2:
                line.take(asked=number / 30, now=number / 30)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(600) - peak(60) < 10_000  # 18,000 frames of 1 kB; the bits of the dropped ones are 2 kB
