"""Frames on their way from noise to picture: where a chunk of them stands, and its next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tpc_stream.engine import Value
from tpc_stream.frame import CalibratedFrame
from tpc_stream.manifest import Manifest
from tpc_stream.network import CalibratedPicture, Network
from tpc_stream.noise import frame_noise
from tpc_stream.noise_levels import NoiseLevels
from tpc_stream.pndm import PndmState, pndm_step
from tpc_stream.propagation import WindowDraws, draw_window
from tpc_stream.resident import as_terms, settled
from tpc_stream.sampler import ddim_step
from tpc_stream.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive frames at one noise level."""

    frames: tuple[CalibratedFrame, ...]
    carried: int
    """How many of the first frames were in the chunk before."""
    shown: tuple[bool, ...]
    """Per frame, whether there is a person to show."""
    latents: Value
    """[F, C, h, w]."""
    draws: WindowDraws
    """Of Iterative Propagation, for all steps."""
    told: Mapping[str, Value]
    """What the pose graph is given."""
    pose: Mapping[str, Value]
    """What it wrote, where that holds for all steps; else nothing."""
    calibrated: Mapping[int, CalibratedPicture]
    """Of the drawn frames, by their global index."""
    step: int = 0
    """Steps that it has behind it."""
    pndm: PndmState = field(default_factory=PndmState)

    @property
    def drawn(self) -> tuple[int, ...]:
        """Global indices of the frames whose calibrated pictures it needs at any step."""
        return self.draws.drawn


class Chunks:
    """Begins chunks, and moves them one step on."""

    def __init__(
        self,
        manifest: Manifest,
        network: Network,
        *,
        levels: NoiseLevels,
        seed: int,
        group_size: int,
    ) -> None:
        self._manifest, self._network = manifest, network
        self._levels, self._seed, self._group_size = levels, seed, group_size

    def begin(self, window: Window, *, told: Mapping[str, Value], shown: tuple[bool, ...]) -> Chunk:
        """The frames as noise (or the reference, noised), poses, draws and calibrated pictures.

        told, shown: `PoseInput.inputs` of the window. Noise and draws are pure functions of seed and index. May run in
        another thread than what follows.
        """
        draws = draw_window(
            window.index, len(window.frames), steps=len(self._levels), seed=self._seed, group_size=self._group_size
        )
        latents = self._network.placed(self._start(window))
        follows = self._network.pose_follows_timestep
        if follows:
            told = {name: self._network.placed(array) for name, array in told.items()}
        pose = {} if follows else self._network.pose(told, latents, float(self._levels.timesteps[0]))
        calibrated = self._network.calibrated({item.frame.index: item for item in window.frames}, draws.drawn)
        return Chunk(window.frames, window.carried, shown, latents, draws, told, pose, calibrated)

    def done(self, chunk: Chunk) -> bool:
        return chunk.step == len(self._levels)

    def timestep(self, chunk: Chunk) -> float:
        """The timestep that the network is told for the next step."""
        return float(self._levels.timesteps[chunk.step])

    def uses(self, chunk: Chunk) -> NDArray[np.int64]:
        """[F] the global index of the frame whose calibrated features each frame uses at the next step."""
        uses: NDArray[np.int64] = np.array(chunk.drawn, dtype=np.int64)[chunk.draws.gather[chunk.step]]
        return uses

    def pose(self, chunk: Chunk) -> Mapping[str, Value]:
        """What the pose graph says of the frames, at the next step."""
        return chunk.pose or self._network.pose(chunk.told, chunk.latents, self.timestep(chunk))

    def moved(self, chunk: Chunk, output: Value) -> Chunk:
        """The chunk one step on, given the network's output [F, C, h, w]."""
        levels, step, sampling = self._levels, chunk.step, self._manifest.sampling
        move = {
            "alpha": np.float32(levels.alphas[step]),
            "sigma": np.float32(levels.sigmas[step]),
            "next_alpha": np.float32(levels.next_alphas[step]),
            "next_sigma": np.float32(levels.next_sigmas[step]),
        }
        told, before = as_terms(output), as_terms(chunk.latents)
        if sampling.scheduler == "pndm":
            latents, pndm = pndm_step(told, before, chunk.pndm, prediction=sampling.prediction, **move)
            return replace(chunk, latents=settled(latents), pndm=pndm, step=step + 1)
        latents = ddim_step(told, before, prediction=sampling.prediction, **move)
        return replace(chunk, latents=settled(latents), step=step + 1)

    def _start(self, window: Window) -> NDArray[np.float32]:
        noise = frame_noise(
            window.indices,
            seed=self._seed,
            shape=self._manifest.latent_shape,
            period=self._manifest.window.noise_period,
        )
        if self._manifest.sampling.start == "noise":
            return noise
        start = self._levels.alphas[0] * self._network.start_latents + self._levels.sigmas[0] * noise
        return np.asarray(start, dtype=np.float32)
