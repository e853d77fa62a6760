"""Processes within a time that is given for all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Ended(Exception):
    """A process did not come to its end. `in_time`: whether it had time left."""

    def __init__(self, text: str, *, in_time: bool) -> None:
        super().__init__(text)
        self.in_time = in_time


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds for everything, from now."""

    seconds: float
    begun: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        return time.monotonic() - self.begun

    @property
    def left(self) -> float:
        return max(self.seconds - self.spent, 0.0)


@dataclass(frozen=True, slots=True)
class Started:
    """A Python module that runs in a process of its own."""

    module: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """Kills it, with what it started; nothing where it has ended."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def finished(self, *, seconds: float) -> str:
        """What it printed. Errors: Ended where it failed, or did not end in time; then it is killed."""
        try:
            status = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Ended(f"{self.module} was not done after {seconds:.0f} s and was ended", in_time=False) from None
        text = self.log.read_text(encoding="utf-8", errors="replace")
        if status:
            last = next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
            raise Ended(f"{self.module} ended with {status}: {last} (all of it: {self.log})", in_time=True)
        return text


def start(arguments: list[str], log: Path) -> Started:
    """`python -m` the arguments, in the checkout, both outputs into `log`."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return Started(arguments[0], process, log)


def call(arguments: list[str], log: Path, *, seconds: float) -> str:
    """Runs it to its end; see `Started.finished`."""
    return start(arguments, log).finished(seconds=seconds)
