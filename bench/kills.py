"""`python -m bench kills`: kill -9 at random moments of a job, and the same command again, until it is done.

Compared with a run that nobody killed: the pictures, the chunks that were begun twice, and what is left behind. The
moments are drawn over the time that a run takes, so they also hit the start, the joining and the clearing up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from bench.memory import repeat
from tpc_stream.source import read_frames

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
GONE_SECONDS = 10.0
"""Workers have so long to notice that their job's process was killed."""


@dataclass(slots=True)
class Kills:
    """What was seen."""

    moments: list[float] = field(default_factory=list)
    """Seconds from an attempt's start to its kill."""
    begun: int = 0
    """Chunks that were begun and not finished when a kill came, over all of them."""
    most_begun: int = 0
    """Of one kill."""
    redone: list[int] = field(default_factory=list)
    """Chunks that were made again although they had been finished."""
    orphans: int = 0
    """Attempts some of whose processes outlived it by more than `GONE_SECONDS`."""
    left: list[str] = field(default_factory=list)
    """Files beside the output at the end."""
    finished: set[int] = field(default_factory=set)

    def failures(self, *, workers: int) -> list[str]:
        """What is not as it must be, beside the pictures."""
        found = [f"chunk {number} was finished and made again" for number in self.redone]
        if self.most_begun > workers:
            found.append(f"a kill cost {self.most_begun} chunks, {workers} at most are worked on")
        if self.orphans:
            found.append(f"{self.orphans} times a worker outlived its job")
        if self.left:
            found.append(f"left behind: {', '.join(self.left)}")
        return found


def command(motion: Path, out: Path, *, bundle: str, workers: int, chunk_seconds: float) -> list[str]:
    return [
        sys.executable, "-m", "tpc_stream", "animate", "-r", str(ASSETS / "demo_reference.png"), "-m", str(motion),
        "-o", str(out), "--bundle", bundle, "--threads", "1", "--workers", str(workers), "--chunk-seconds",
        str(chunk_seconds), "--progress", "json",
    ]  # fmt: skip


def killed(call: Sequence[str], folder: Path, *, kills: int, seconds: float, moments: random.Random) -> Kills:
    """Starts the command again and again, kills it so often within `seconds` each, and at last lets it finish.

    A job that is done before its kill comes counts as an attempt, but there is nothing left to kill: it ends there.
    """
    found = Kills()
    for number in range(kills + 1):
        log = folder / "events"
        with log.open("wb") as told:
            began = time.perf_counter()
            process = subprocess.Popen(call, stdout=told, start_new_session=True)
            limit = moments.uniform(0, seconds) if number < kills else None
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                found.moments.append(time.perf_counter() - began)
        found.orphans += not gone(process.pid)
        _count(found, log.read_text(), was_killed=process.returncode == -signal.SIGKILL)
        log.unlink()
        if process.returncode == 0:
            break
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"{' '.join(call)} ended with {process.returncode}")
    return found


def _count(found: Kills, told: str, *, was_killed: bool) -> None:
    lines = told.splitlines()
    events = [json.loads(line) for line in lines if line.endswith("}")]  # the last one may be cut off
    begun = {event["chunk"] for event in events if event["event"] == "frames"}
    made = {event["chunk"] for event in events if event["event"] == "chunk"}
    found.redone += sorted(found.finished & (begun | made))
    found.finished |= made
    if was_killed:
        found.begun += len(begun - made)
        found.most_begun = max(found.most_begun, len(begun - made))


def gone(group: int) -> bool:
    """Whether all processes of the group end in time; those that do not are killed."""
    until = time.monotonic() + GONE_SECONDS
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    return False


def digest(path: Path) -> tuple[int, str]:
    """Number of pictures, and the sha256 of all of them."""
    frames, pictures = 0, sha256()
    for frame in read_frames(path):
        pictures.update(frame.image.tobytes())
        frames += 1
    return frames, pictures.hexdigest()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--seconds", type=float, default=60.0, help="of video")
    parser.add_argument("--chunk-seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--within", type=float, default=None, help="seconds; default: a fifth of an unkilled run")
    parser.add_argument("--bundle", default="mannequin")
    choices = parser.parse_args(argv)
    print(f"--seed {choices.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        motion, whole, out = folder / "motion.mp4", folder / "whole.mp4", folder / "out" / "out.mp4"
        repeat(ASSETS / "demo_motion.mp4", motion, seconds=choices.seconds)
        out.parent.mkdir()
        settings = {"bundle": choices.bundle, "workers": choices.workers, "chunk_seconds": choices.chunk_seconds}
        began = time.perf_counter()
        subprocess.run(command(motion, whole, **settings), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        print(f"never killed: {seconds:.0f} s", flush=True)
        # a fifth, so that a job goes on for long enough to be killed so often
        found = killed(
            command(motion, out, **settings), folder, kills=choices.kills, seconds=choices.within or seconds / 5,
            moments=random.Random(choices.seed),
        )  # fmt: skip
        found.left = sorted(path.name for path in out.parent.iterdir() if path != out)
        same, frames = digest(whole) == digest(out), digest(out)[0]
    print(
        f"killed {len(found.moments)} times, {', '.join(f'{moment:.1f}' for moment in found.moments)} s after its "
        f"start; {frames} frames, {'identical' if same else 'NOT identical'}\n"
        f"unfinished chunks lost: {found.begun} in all, {found.most_begun} at most at a kill; finished ones made "
        f"again: {len(found.redone)}; left behind: {found.left or 'nothing'}"
    )
    failures = found.failures(workers=choices.workers) + ([] if same else ["the pictures differ"])
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0
