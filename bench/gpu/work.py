"""What a pass and a loop must compute, counted from the networks on the meta device: nothing is run."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
import torch

from bench.gpu.rows import Row
from bench.gpu.settings import Setting, named_axes
from bench.gpu.sizes import Sizes
from bench.gpu.system import graphs_of, shaped
from export.counting import counted
from export.to_onnx import Graph
from tpc_stream.manifest import Role

Work = np.ndarray[Any, np.dtype[np.float64]]
"""[multiply-adds, bytes]."""


class Counter:
    """Work of every setting. The denoiser's is a polynomial of frames F and calibrated pictures U: F and U linear, and
    F squared where frames look at each other; so a few counts tell all."""

    def __init__(self, sizes: Sizes, tokens: list[int]) -> None:
        self._sizes, self._tokens = sizes, tokens
        with torch.device("meta"):
            self._graphs = {vae: graphs_of(shaped(sizes, vae), sizes) for vae in ("tiny", "kl")}

    def of(self, row: Row) -> Row:
        """The row with its work, where it has any."""
        from dataclasses import replace

        if row.kind == "pass" and row.what in self._graphs["tiny"]:
            work = self._pass(row)
        elif row.kind == "loop":
            work = self._loop(row)
        else:
            return row
        return replace(row, work=(float(work[0]), float(work[1])))

    def _pass(self, row: Row) -> Work:
        frames = row.frames or 1
        if row.what == "denoise":
            drawn = -(-frames // self._sizes.group_size)
            if frames not in self._sizes.windows:
                drawn = max(self._sizes.steps)
            return self._denoise(frames, drawn, bool(row.tpc))
        return frames * self._one(cast(Role, row.what), row.vae)

    def _loop(self, row: Row) -> Work:
        """Of a window, or of a tick of the full diagonal."""
        frames, steps, group = row.frames or 1, row.steps or 1, self._sizes.group_size
        total = frames * (self._one("pose", row.vae) + self._one("decode", row.vae))
        if row.what == "diagonal":
            total = total + self._denoise(frames * steps, steps, bool(row.tpc))
            group = frames
        else:
            total = total + steps * self._denoise(frames, -(-frames // group), bool(row.tpc))
        if row.tpc:
            encoded = frames * (1 - (1 - 1 / group) ** steps)  # expected: distinct draws of all steps
            total = total + encoded * (self._one("encode", row.vae) + self._one("reference", row.vae))
        return np.asarray(total)

    def _one(self, role: Role, vae: str) -> Work:
        """Of one picture."""
        return self._counted(self._graphs[vae][role], Setting(role, vae, 1, drawn=1))

    def _denoise(self, frames: int, drawn: int, tpc: bool) -> Work:
        terms = np.array([1, frames, frames**2, drawn if tpc else 0], dtype=np.float64)
        return np.asarray(terms @ self._polynomial[tpc])

    @cached_property
    def _polynomial(self) -> dict[bool, Work]:
        """[4, 2] for calibration on and off: of 1, F, F squared, U."""
        found = {}
        for tpc in (True, False):
            points = [(1, 1), (2, 1), (4, 1), (2, 3)] if tpc else [(1, 1), (2, 1), (4, 1)]
            terms = np.array([[1, f, f * f, u if tpc else 0] for f, u in points], dtype=np.float64)
            graph = self._graphs["tiny"]["denoise"]
            works = np.array([self._counted(graph, Setting("denoise", "tiny", f, tpc, drawn=u)) for f, u in points])
            found[tpc] = np.linalg.lstsq(terms, works, rcond=None)[0]
        return found

    def _counted(self, graph: Graph, setting: Setting) -> Work:
        axes = named_axes(self._tokens, frames=setting.frames or 1, drawn=setting.drawn, tpc=bool(setting.tpc))
        with torch.device("meta"):
            example = {
                name: torch.zeros(
                    [axes[axis] if isinstance(axis, str) else axis for axis in shape],
                    dtype=torch.int64 if graph.dtype(name) == "int64" else torch.float32,
                )
                for name, shape in graph.inputs.items()
            }
            work = counted(lambda: graph.run(example))
        return np.array([work.multiply_adds, work.bytes])
