"""The denoising loop as `tpc_stream.denoise` runs it, on pictures that are made up: from encoding to pictures.

Left out is what needs no engine and a person: reading, pose estimation, search and warp, drawing, writing. The order of
the graphs, the draws of Iterative Propagation, what is encoded once and what stays on the device are the product's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.gpu.examples import example
from tpc_stream.engine import Array, Engine, Value, fetched, placed, require_finite, run
from tpc_stream.graph_roles import feature_outputs
from tpc_stream.manifest import Manifest, Role
from tpc_stream.noise import frame_noise
from tpc_stream.noise_levels import noise_levels
from tpc_stream.propagation import draw_window
from tpc_stream.resident import as_terms, joined, rows, settled
from tpc_stream.sampler import ddim_step

Features = tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Frames at one noise level; see `tpc_stream.chunk.Chunk`."""

    latents: Value
    gather: Array
    """[steps, F]: which of `drawn` a frame uses at a step."""
    drawn: tuple[int, ...]
    pose: Mapping[str, Value]
    calibrated: Mapping[int, Features]
    step: int = 0


class Loop:
    """One setting on one bundle's engines. The reference is encoded when it is made.

    Args:
        steps: of denoising. tpc: whether c_i stands beside r. group_size: of the window schedule.
    """

    def __init__(
        self, manifest: Manifest, engines: Mapping[Role, Engine], *, steps: int, tpc: bool, group_size: int
    ) -> None:
        self._manifest, self._engines, self._tpc, self._group = manifest, engines, tpc, group_size
        self._levels = noise_levels(manifest.sampling, steps=steps)
        self._steps = len(self._levels)
        sizes = {"N": 1, "F": 1, "U": 1}
        self._picture = self._example("encode", "images", sizes)
        self._drawing = self._example("pose", "pose_images", sizes)
        pixels = self._example("tokens", "pixels", sizes)
        self._context = run(engines["tokens"], {"pixels": pixels}, graph="tokens")["context"]
        self._reference = self._features(1)
        self._nothing = tuple(
            np.zeros((1, 0, int(tensor.shape[2])), dtype=np.float32)
            for tensor in feature_outputs(manifest.graphs["reference"])
        )

    def windows(self, length: int, count: int) -> Iterator[float]:
        """Seconds of each of `count` windows of so many frames, from pictures to pictures."""
        for number in range(count):
            begun = time.perf_counter()
            self.window(number * length, length)
            yield time.perf_counter() - begun

    def window(self, first: int, length: int) -> Array:
        """[F, 3, H, W] the pictures of one window."""
        chunk = self._begun(first, length, self._group)
        while chunk.step < self._steps:
            (chunk,) = self._moved([chunk])
        return self._pictures(chunk)

    def diagonal(self, chunk_frames: int, count: int) -> Iterator[float]:
        """Seconds of each of `count` ticks, once the diagonal is full."""
        active: list[Chunk] = []
        for tick in range(self._steps - 1 + count):
            begun = time.perf_counter()
            active.append(self._begun(tick * chunk_frames, chunk_frames, chunk_frames))
            active = self._moved(active)
            if active[0].step == self._steps:
                self._pictures(active.pop(0))
                yield time.perf_counter() - begun

    def _begun(self, first: int, length: int, group: int) -> Chunk:
        draws = draw_window(first, length, steps=self._steps, seed=0, group_size=group)
        noise = frame_noise(range(first, first + length), seed=0, shape=self._manifest.latent_shape, period=0)
        latents = placed(self._engines["denoise"], noise)
        pictures = np.repeat(self._drawing, length, axis=0)
        pose = run(self._engines["pose"], {"pose_images": pictures}, graph="pose")
        calibrated: dict[int, Features] = {}
        if self._tpc:
            written = self._features(len(draws.drawn))
            for row, index in enumerate(draws.drawn):
                calibrated[index] = tuple(rows(array, row, row + 1) for array in written)
        return Chunk(latents, draws.gather, draws.drawn, pose, calibrated)

    def _moved(self, active: Sequence[Chunk]) -> list[Chunk]:
        """All chunks one step on, in one pass."""
        sizes = [len(chunk.latents) for chunk in active]
        uses = np.concatenate([np.array(chunk.drawn)[chunk.gather[chunk.step]] for chunk in active])
        drawn, index = np.unique(uses, return_inverse=True)
        of = {k: features for chunk in active for k, features in chunk.calibrated.items()}
        calibrated: Features = self._nothing
        if self._tpc:
            calibrated = tuple(joined(parts) for parts in zip(*(of[int(k)] for k in drawn), strict=True))
        timesteps = np.repeat([self._levels.timesteps[chunk.step] for chunk in active], sizes).astype(np.float32)
        inputs: dict[str, Value] = {
            "latents": joined([chunk.latents for chunk in active]),
            "timesteps": timesteps,
            "context": self._context,
            "calibrated_index": (index if self._tpc else np.zeros(len(timesteps))).astype(np.int64),
            **{name: joined([chunk.pose[name] for chunk in active]) for name in active[0].pose},
            **{f"reference_{k:02d}": array for k, array in enumerate(self._reference)},
            **{f"calibrated_{k:02d}": array for k, array in enumerate(calibrated)},
        }
        output = run(self._engines["denoise"], inputs, graph="denoise")["output"]
        edges = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        return [
            self._stepped(chunk, rows(output, start, stop))
            for chunk, start, stop in zip(active, edges[:-1], edges[1:], strict=True)
        ]

    def _stepped(self, chunk: Chunk, output: Value) -> Chunk:
        levels, step = self._levels, chunk.step
        latents = ddim_step(
            as_terms(output), as_terms(chunk.latents), prediction=self._manifest.sampling.prediction,
            alpha=np.float32(levels.alphas[step]), sigma=np.float32(levels.sigmas[step]),
            next_alpha=np.float32(levels.next_alphas[step]), next_sigma=np.float32(levels.next_sigmas[step]),
        )  # fmt: skip
        return replace(chunk, latents=settled(latents), step=step + 1)

    def _features(self, count: int) -> Features:
        """r, or c_i of so many pictures."""
        pictures = np.repeat(self._picture, count, axis=0)
        latents = run(self._engines["encode"], {"images": pictures}, graph="encode")["latents"]
        inputs = {"latents": latents, "context": self._context}
        return tuple(run(self._engines["reference"], inputs, graph="reference").values())

    def _pictures(self, chunk: Chunk) -> Array:
        images = fetched(self._engines["decode"], {"latents": chunk.latents})["images"]
        require_finite(images, graph="decode", what="images")
        return images

    def _example(self, role: Role, name: str, sizes: Mapping[str, int]) -> Array:
        graph = self._manifest.graphs[role]
        return example({spec.name: spec.shape for spec in graph.inputs if spec.name == name}, sizes)[name]
