"""One backend on the bundles: `python -m bench.gpu.worker SIZES FOLDER BACKEND SECONDS`. Rows go to a file, one by one.

A process of its own, so that a backend that dies, hangs or fills the GPU takes no other with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from bench.gpu.clock import Clock, Watched
from bench.gpu.examples import example, psnr
from bench.gpu.loop import Loop
from bench.gpu.memory_watch import Times
from bench.gpu.rows import Row, append, percentiles
from bench.gpu.settings import Setting, checked_axes, loop_settings, pass_settings
from bench.gpu.sizes import FULL, REHEARSAL, Sizes
from tpc_stream.backends import open_backend
from tpc_stream.engine import placed
from tpc_stream.errors import TpcStreamError
from tpc_stream.manifest import Manifest, Role
from tpc_stream.manifest_file import read_manifest

COMPARED = "pictures.npz"
FLOAT32 = "precision=fp32"


@dataclass(slots=True)
class Worker:
    """What is open."""

    sizes: Sizes
    folder: Path
    backend: str
    until: float
    """When to begin nothing more, on the monotonic clock."""
    tokens: list[int]
    clock: Clock
    process: float
    """When this process began, on the monotonic clock."""

    @property
    def rows(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def _loops(self) -> list[Setting]:
        """float32 is there to compare with; whole loops of it would take the others' time."""
        return [] if FLOAT32 in self.backend and not self.sizes.tiny else list(loop_settings(self.sizes))

    def run(self) -> None:
        """All that fits into the time; what does not is a row that says so."""
        with self._bundle("tiny") as (manifest, engines):
            for setting in pass_settings(self.sizes):
                if setting.vae == "tiny":
                    self._guarded(setting, self._pass, manifest, engines)
            self._guarded(Setting("pictures", "tiny"), self._pictures, manifest, engines)
            for setting in self._loops:
                if setting.vae == "tiny":
                    self._guarded(setting, self._loop, manifest, engines)
        with self._bundle("kl") as (manifest, engines):
            for setting in (*pass_settings(self.sizes), *self._loops):
                if setting.vae == "kl":
                    measured = self._pass if setting.schedule is None else self._loop
                    self._guarded(setting, measured, manifest, engines)

    def _guarded(self, setting: Setting, measured: Any, *opened: Any) -> None:
        begun = time.monotonic()
        if begun > self.until:
            append(self.rows, replace(setting.row(self.backend), kind="left out"))
            return
        try:
            row = replace(measured(setting, *opened), times=Times(self.process, begun, time.monotonic()))
        except TpcStreamError as error:  # such as too little memory: smaller settings may still run
            row = replace(setting.row(self.backend), kind="absent", what=f"{setting.row(self.backend).what}: {error}")
        append(self.rows, row)

    def _pass(self, setting: Setting, manifest: Manifest, engines: dict[Role, Watched]) -> Row:
        role = cast(Role, setting.role)
        engine = engines[role]
        axes = setting.axes(self.tokens)
        names = {spec.name: spec.shape for spec in manifest.graphs[role].inputs}
        row, checked = setting.row(self.backend), checked_axes(self.sizes, self.tokens)
        with np.load(self.folder / setting.vae / f"{role}.npz") as expected:
            found = engine(example(names, checked))
            row = replace(row, psnr_db=min(psnr(expected[name], found[name]) for name in expected))
        inputs = {name: placed(engine, array) for name, array in example(names, axes).items()}
        run = (lambda: engine.kept(inputs)) if engine.device is not None else (lambda: engine(inputs))
        timed = self.clock.time(run, passes=self.sizes.passes, warm_ups=2, until=self.until)
        return replace(row, **timed, held_gb=self.clock.held_gb())

    def _loop(self, setting: Setting, manifest: Manifest, engines: dict[Role, Watched]) -> Row:
        assert setting.frames is not None and setting.tpc is not None and setting.steps is not None
        loop = Loop(manifest, engines, steps=setting.steps, tpc=setting.tpc, group_size=self.sizes.group_size)
        run = loop.windows if setting.schedule == "window" else loop.diagonal
        for _ in run(setting.frames, 2):  # warm: new shapes are made ready in the first
            pass
        seconds = []
        for one in run(setting.frames, self.sizes.loops):
            seconds.append(one)
            if time.monotonic() > self.until:
                break
        for engine in engines.values():
            engine.waiting, engine.seconds = True, 0.0
        begun = time.perf_counter()
        for _ in run(setting.frames, 1):
            pass
        outside = 1 - sum(engine.seconds for engine in engines.values()) / (time.perf_counter() - begun)
        for engine in engines.values():
            engine.waiting = False
        told = percentiles(seconds)
        fps = setting.frames / (told["p50_ms"] / 1e3)
        return replace(setting.row(self.backend), **told, fps=fps, outside=outside, held_gb=self.clock.held_gb())

    def _pictures(self, setting: Setting, manifest: Manifest, engines: dict[Role, Watched]) -> Row:
        """The pictures of one window against those of the first backend, which leaves them."""
        steps, frames = self.sizes.steps[-1], self.sizes.windows[0]
        loop = Loop(manifest, engines, steps=steps, tpc=True, group_size=self.sizes.group_size)
        pictures = loop.window(0, frames)
        kept = self.folder / COMPARED
        row = replace(setting.row(self.backend), steps=steps, frames=frames, tpc=True)
        if not kept.exists():
            np.savez(kept, pictures=pictures)
            return row
        with np.load(kept) as expected:
            return replace(row, psnr_db=psnr(expected["pictures"], pictures))

    @contextmanager
    def _bundle(self, vae: str) -> Iterator[tuple[Manifest, dict[Role, Watched]]]:
        # not open_bundle: the files were hashed as they were made, a minute ago
        manifest = read_manifest(self.folder / vae)
        backend = open_backend(self.backend, threads=1 if self.sizes.tiny else 0)
        engines: dict[Role, Watched] = {}
        try:
            for role, graph in manifest.graphs.items():
                engines[role] = Watched(backend.open(graph), self.clock)
            yield manifest, engines
        finally:
            for engine in engines.values():
                engine.close()


def main(argv: list[str]) -> int:
    sizes, folder, backend, seconds, *tokens = argv
    process = time.monotonic()
    chosen = {"full": FULL, "rehearsal": REHEARSAL}[sizes]
    if FLOAT32 in backend:
        from bench.gpu.system import no_tf32

        no_tf32()
    # the CPU is timed by the wall clock even where a GPU is at hand
    clock = Clock("cpu" if chosen.tiny else "cuda")
    until = time.monotonic() + float(seconds)
    worker = Worker(chosen, Path(folder), backend, until, [int(n) for n in tokens], clock, process)
    try:
        worker.run()
    except TpcStreamError as error:
        append(worker.rows, Row(kind="absent", backend=backend, what=str(error)))
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
