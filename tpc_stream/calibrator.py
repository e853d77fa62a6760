"""The calibration by itself: a reference and a motion in, calibrated frames out, without any engine.

reading and pose      one thread   PyAV and MediaPipe
calibration           one thread   the subset search
the rest              the caller's
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from tpc_stream.calibrate import CalibrationConfig, calibrate
from tpc_stream.calibrate_options import CalibrateOptions
from tpc_stream.fit import FitGeometry, fit_frames
from tpc_stream.frame import CalibratedFrame, Frame, Portrait, PosedFrame
from tpc_stream.full_reference import FullReference
from tpc_stream.given_masks import GivenMasks, with_given_silhouettes, with_masks
from tpc_stream.people.mask_file import read_mask
from tpc_stream.portrait import prepare_portrait
from tpc_stream.pose import estimate_poses
from tpc_stream.prefetch import prefetch
from tpc_stream.procrustes import SearchConfig, warm_up
from tpc_stream.source import read_picture
from tpc_stream.steady import SteadyConfig

_QUEUED_FRAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """A reference, prepared for a canvas; `frames` lays it onto a motion's."""

    portrait: Portrait
    """The reference on the canvas."""
    full: FullReference
    """The reference as sharp as it is."""
    placement: FitGeometry
    """Where the reference's picture lies on the canvas."""
    options: CalibrateOptions

    @classmethod
    def of(cls, reference: str | Path, options: CalibrateOptions, *, width: int, height: int) -> Calibrator:
        """Finds the person of the picture `reference`; `width` x `height` pixels is the canvas.

        Raises PortraitError: nobody to be found. SourceError: the file cannot be read as a picture.
        """
        image, alpha = read_picture(reference)
        mask = None
        if options.reference_mask is not None:
            mask = read_mask(options.reference_mask, width=image.shape[1], height=image.shape[0])
        with ExitStack() as opened:
            segmenter = None
            if options.sam is not None and mask is None:
                from tpc_stream.people.segmenter import SamSegmenter  # it brings the engines

                segmenter = opened.enter_context(SamSegmenter(options.sam))
            portrait = prepare_portrait(
                image,
                alpha=alpha,
                mask=mask,
                width=width,
                height=height,
                fit_mode=options.fit,
                name=str(reference),
                segmenter=segmenter,
            )
        known = mask if mask is not None else alpha if alpha is not None and int(alpha.min()) < 255 else None
        placement = FitGeometry.of(
            source_width=image.shape[1], source_height=image.shape[0], width=width, height=height, mode=options.fit
        )
        full = FullReference.of(image, known, portrait=portrait, fit_mode=options.fit)
        return cls(portrait=portrait, full=full, placement=placement, options=options)

    def frames(self, motion: Iterable[Frame], *, masks: GivenMasks | None = None) -> Iterator[CalibratedFrame]:
        """One calibrated frame for every frame of the motion, in order, on the canvas.

        masks: silhouettes to take instead of the estimator's. Raises SourceError for a motion or a mask that cannot
        be read. Close it to stop early.
        """
        posed = prefetch(self._posed(motion, masks), depth=_QUEUED_FRAMES, name="posed")
        with closing(posed):
            calibrated = prefetch(self._calibrated(posed), depth=_QUEUED_FRAMES, name="calibrated")
            with closing(calibrated):
                yield from calibrated

    def _posed(self, frames: Iterable[Frame], masks: GivenMasks | None) -> Iterator[PosedFrame]:
        height, width = self.portrait.mask.shape
        if masks is not None:
            frames = with_masks(frames, masks)
        posed = estimate_poses(fit_frames(frames, width=width, height=height, mode=self.options.fit))
        return posed if masks is None else with_given_silhouettes(posed)

    def _calibrated(self, posed: Iterable[PosedFrame]) -> Iterator[CalibratedFrame]:
        warm_up()
        config = CalibrationConfig(
            hold_seconds=self.options.hold_seconds,
            search=SearchConfig(
                visibility=self.options.min_visibility, steady=SteadyConfig(tolerance=self.options.steady_tolerance)
            ),
            transform=self.options.transform,
        )
        yield from calibrate(posed, self.portrait, config=config)
