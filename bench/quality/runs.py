"""Test clips through the pipeline, with the poses and masks that the clip gives; and what comes of each, measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bench.quality import metrics
from bench.quality.sets import Case, Kind, Sizes, TestClip
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator

FRAME_METRICS = ("L1", "PSNR", "SSIM", "MS-SSIM", "person PSNR")
MOTION_METRICS = ("flicker", "difference error")


class Runner:
    """An animator under one set of options, fed with clips."""

    def __init__(self, options: AnimateOptions) -> None:
        self._posed: tuple[PosedFrame, ...] = ()
        self._animator = Animator(options, pose_stage=self._poses)
        self.plan = self._animator.plan
        self.sizes = Sizes(self.plan.canvas, self.plan.output)

    def run(self, clip: TestClip, case: Case) -> NDArray[np.uint8]:
        """[N, H, W, 3] at the output size."""
        self._posed, self._animator.portrait = clip.frames, case.portrait
        return np.stack([made.image for made in self._animator.animate([item.frame for item in clip.frames])])

    def _poses(self, frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for frame in frames:
            yield replace(self._posed[frame.index], frame=frame)

    def close(self) -> None:
        self._animator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One run's figures, an array a metric."""

    frames: dict[str, NDArray[np.float64]]
    """[N] by FRAME_METRICS."""
    steps: dict[str, NDArray[np.float64]]
    """[N - 1] by MOTION_METRICS: from each frame to the next; nan where not measured."""


def score(clip: TestClip, pictures: NDArray[np.uint8], *, names: tuple[str, ...] = FRAME_METRICS) -> Scores:
    """`pictures` [N, H, W, 3] against the clip's truth; names: of FRAME_METRICS, for what is measured often."""
    regions = [metrics.person_region(matte) for matte in clip.mattes]

    def measure(name: str, k: int) -> float:
        found, truth = pictures[k], clip.truths[k]
        if name == "person PSNR":
            return metrics.psnr(found, truth, regions[k]) if regions[k].any() else float("nan")
        return {"L1": metrics.l1, "PSNR": metrics.psnr, "SSIM": metrics.ssim, "MS-SSIM": metrics.ms_ssim}[name](
            found, truth
        )

    frames = {name: np.array([measure(name, k) for k in range(len(pictures))]) for name in names}
    flickers, errors = [], []
    for k in range(len(pictures) - 1):
        now, following = pictures[k], pictures[k + 1]
        flickers.append(np.nan if clip.flow is None else metrics.flicker(now, following, clip.flow[k]))
        both = regions[k] | regions[k + 1]
        errors.append(
            metrics.difference_error(now, following, clip.truths[k], clip.truths[k + 1], both) if both.any() else np.nan
        )
    return Scores(frames, dict(zip(MOTION_METRICS, (np.array(flickers), np.array(errors)), strict=True)))


def of_kind(scores: Scores, case: Case, kind: Kind) -> dict[str, NDArray[np.float64]]:
    """The figures of the frames of one set; motion is measured between two frames of it."""
    chosen = np.array([k == kind for k in case.kinds])
    together = chosen[:-1] & chosen[1:]
    return {n: v[chosen] for n, v in scores.frames.items()} | {n: v[together] for n, v in scores.steps.items()}
