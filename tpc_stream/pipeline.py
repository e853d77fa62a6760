"""The order of the stages, and nothing else: source, fit, pose, calibrate, condition, denoise, decode.

a live source         one thread   PyAV; a short queue behind it drops what comes too fast, see captured.py
reading and pose      one thread   PyAV and MediaPipe
calibration           one thread   the subset search
condition             one thread   the engines that encode calibrated pictures and poses
denoise, decode       one each     an engine each
sink                  the caller's
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from tpc_stream.backends import open_backend
from tpc_stream.bundle import open_bundle
from tpc_stream.calibrate import CalibrationConfig, CalibrationReport
from tpc_stream.decode import decode
from tpc_stream.denoise import DenoisedFrame, Denoiser
from tpc_stream.errors import InputError
from tpc_stream.fit import fit_frames
from tpc_stream.frame import AnimatedFrame, Frame, Portrait
from tpc_stream.motion import Motion, open_as
from tpc_stream.open_engines import open_engines
from tpc_stream.options import AnimateOptions
from tpc_stream.part import WHOLE, Part
from tpc_stream.people.mask_file import read_mask
from tpc_stream.people.segmenter import SamSegmenter
from tpc_stream.plan import make_plan
from tpc_stream.portrait import prepare_portrait
from tpc_stream.pose import estimate_poses
from tpc_stream.pose_video import check_pose_video, read_pose_pictures
from tpc_stream.prefetch import Prefetch, prefetch
from tpc_stream.procrustes import SearchConfig, warm_up
from tpc_stream.profile import Profiler
from tpc_stream.relay import PartFrame, PosedViews, PoseStage, Relay
from tpc_stream.source import SourceReport, read_picture
from tpc_stream.steady import SteadyConfig

_QUEUED_FRAMES = 4  # enough to even out the stages' pace; more would only add delay and memory

_PATIENCE_SECONDS = 10.0
"""So long a read that has stuck is waited for at the end; an engine's pass for as long as it takes, or it would go on
with an engine that is closed."""

T = TypeVar("T")
Driving = str | Path | Motion | Iterable[Frame]


class Animator:
    """A bundle with its engines open. Set a reference once, then animate as many motions as you like.

    Args:
        options: every choice of a run.
        profiler: records per frame and stage; None: one of its own, in `.profiler`.
        pose_stage: finds the person in each frame; None: MediaPipe. Give another to use an estimator of your own.
    """

    def __init__(
        self,
        options: AnimateOptions | None = None,
        *,
        profiler: Profiler | None = None,
        pose_stage: PoseStage | None = None,
    ) -> None:
        self.options = options or AnimateOptions()
        self.profiler = profiler or Profiler()
        self.bundle = open_bundle(self.options.bundle)
        self.plan = make_plan(self.bundle, self.options)
        if self.options.pose_video is not None:
            check_pose_video(self.bundle.manifest)
        self.portrait: Portrait | None = None
        self.source_report = SourceReport()
        self.calibration_report = CalibrationReport()
        self._pose_stage = pose_stage or estimate_poses
        self._opened = ExitStack()
        backend = open_backend(self.options.backend, threads=self.options.threads)
        with ExitStack() as opening:
            self._engines = open_engines(
                self.bundle, backend, retry_precision=self.options.retry_precision, profiler=self.profiler,
                opening=opening,
            )  # fmt: skip
            self._opened = opening.pop_all()
        self.backend_description = backend.describe()

    def set_reference(
        self, reference: str | Path | NDArray[np.uint8], *, mask: NDArray[np.uint8] | None = None
    ) -> Portrait:
        """Prepares the picture of the person: keypoints, mask, the analysis canvas.

        Args:
            reference: a file, or HWC RGB uint8, or HWC RGBA uint8 whose alpha is the mask.
            mask: HW uint8, [0, 255], of the picture's size: coverage of the person; None: `options.reference_mask`,
                else the picture's alpha, else by SAM where `options.sam` is given, else estimated.

        Raises:
            PortraitError: nobody to be found. SourceError: the file cannot be read as a picture.
        """
        alpha: NDArray[np.uint8] | None = None
        if isinstance(reference, str | Path):
            name = str(reference)
            image, alpha = read_picture(reference)
        elif reference.ndim == 3 and reference.shape[2] in (3, 4) and reference.dtype == np.uint8:
            name = "the reference"
            image = np.ascontiguousarray(reference[..., :3])
            alpha = np.ascontiguousarray(reference[..., 3]) if reference.shape[2] == 4 else None
        else:
            raise InputError(f"a reference is HWC RGB or RGBA uint8, got {reference.shape = } {reference.dtype = }")
        if mask is None and self.options.reference_mask is not None:
            mask = read_mask(self.options.reference_mask, width=image.shape[1], height=image.shape[0])
        width, height = self.plan.canvas
        with self.profiler.span("reference"), ExitStack() as opened:
            segmenter = None
            if self.options.sam is not None and mask is None:
                segmenter = opened.enter_context(SamSegmenter(self.options.sam, threads=self.options.threads))
            self.portrait = prepare_portrait(
                image, alpha=alpha, mask=mask, width=width, height=height, fit_mode=self.options.fit, name=name,
                segmenter=segmenter,
            )  # fmt: skip
        return self.portrait

    def open_motion(self, motion: str | Path) -> Motion:
        """The motion, opened as the options say; close it when done. Errors as of `motion.open_motion`."""
        return open_as(self.options, motion, profiler=self.profiler)

    def animate(self, motion: Driving, *, parts: Sequence[Part] = (WHOLE,)) -> Generator[AnimatedFrame, None, None]:
        """Yields one animated frame for every frame of the motion, in order; of a live one, for those that it keeps.

        Args:
            motion: a file, URL, folder, camera, screen or pipe (see `open_motion`); such a motion, opened, which its
                opener closes; or frames of your own.
            parts: of the motion, one after the other, each as if it were animated alone. The motion's frames are those
                that the parts read. A chunk of a job is a part; everybody else leaves this out.
        """
        if self.portrait is None:
            raise InputError("there is no reference yet: call set_reference() before animate()")
        return self._animate(motion, self.portrait, Relay(parts))

    def _animate(self, motion: Driving, portrait: Portrait, relay: Relay) -> Generator[AnimatedFrame, None, None]:
        profiler, stage = self.profiler, self.profiler.stage
        with ExitStack() as queues:
            if isinstance(motion, str | Path):
                motion = queues.enter_context(closing(self.open_motion(motion)))
            self.source_report = motion.report if isinstance(motion, Motion) else SourceReport()
            self.calibration_report = CalibrationReport()
            live = isinstance(motion, Motion) and motion.live
            stops: list[Callable[[], None]] = [motion.stop] if isinstance(motion, Motion) else []

            def queue(
                items: Iterable[T], name: str, *, live_depth: int, patience_seconds: float | None = None
            ) -> Prefetch[T]:
                made = prefetch(items, depth=live_depth if live else _QUEUED_FRAMES, name=name, profiler=profiler)
                queues.callback(made.close, timeout_seconds=patience_seconds)
                stops.append(made.stop)
                return made

            chunk = self.plan.new_frames
            posed = queue(self._posed(motion, relay), "posed", live_depth=1, patience_seconds=_PATIENCE_SECONDS)
            calibrated = queue(self._calibrated(posed, portrait, relay), "calibrated", live_depth=chunk)
            with profiler.span("set-up"):
                denoiser = self._denoiser(portrait)
            conditioned = queue(stage("condition", denoiser.condition, calibrated), "conditioned", live_depth=chunk)
            denoised = queue(stage("denoise", denoiser.denoise, conditioned), "denoised", live_depth=chunk)
            animated = queue(self._decoded(denoised, portrait), "animated", live_depth=chunk)
            # All are told before any is waited for: a thread that waits for another's frame would be waited for too.
            queues.callback(lambda: [stop() for stop in reversed(stops)])
            yield from animated

    def _posed(self, frames: Iterable[Frame], relay: Relay) -> Iterator[PosedViews]:
        options, profiler = self.options, self.profiler
        width, height = self.plan.canvas
        read = profiler.source("source", frames)
        fitted = profiler.stage("fit", partial(fit_frames, width=width, height=height, mode=options.fit), read)
        return profiler.stage("pose", partial(relay.poses, stage=self._pose_stage), fitted)

    def _calibrated(self, posed: Iterable[PosedViews], portrait: Portrait, relay: Relay) -> Iterator[PartFrame]:
        with self.profiler.span("warm-up"):
            warm_up()
        options = self.options
        steady = SteadyConfig(tolerance=options.steady_tolerance)
        search = SearchConfig(visibility=options.min_visibility, steady=steady)
        config = CalibrationConfig(hold_seconds=options.hold_seconds, search=search, transform=options.transform)
        stage = partial(relay.calibrate, portrait=portrait, config=config, report=self.calibration_report)
        return self.profiler.stage("calibrate", stage, posed)

    def _denoiser(self, portrait: Portrait) -> Denoiser:
        return Denoiser(
            bundle=self.bundle,
            engines=self._engines,
            portrait=portrait,
            config=self.plan.denoise,
            span=self.profiler.span,
            pose_pictures=self._pose_pictures(),
        )

    def _decoded(self, denoised: Iterable[DenoisedFrame], portrait: Portrait) -> Iterator[AnimatedFrame]:
        width, height = self.plan.output
        decoding = partial(
            decode, bundle=self.bundle, engines=self._engines, portrait=portrait, width=width, height=height
        )
        return self.profiler.stage("decode", decoding, denoised)

    def _pose_pictures(self) -> Iterator[Frame] | None:
        options = self.options
        if options.pose_video is None:
            return None
        return read_pose_pictures(
            options.pose_video, manifest=self.bundle.manifest, fit=options.fit, start_seconds=options.start_seconds,
            end_seconds=options.end_seconds, max_frames=options.max_frames,
        )  # fmt: skip

    def close(self) -> None:
        """Closes the engines."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def animate(
    reference: str | Path | NDArray[np.uint8],
    motion: str | Path | Iterable[Frame],
    *,
    options: AnimateOptions | None = None,
) -> Iterator[AnimatedFrame]:
    """The person of the reference makes the motion: yields frames, HWC RGB uint8, as they are ready.

    Example:
        for frame in tpc_stream.animate("person.png", "dance.mp4"):
            show(frame.image)

    Raises:
        TpcStreamError: one of `tpc_stream.errors`, at the first frame, with what is wrong and what to do.
    """
    with Animator(options) as animator:
        animator.set_reference(reference)
        yield from animator.animate(motion)
