"""What a run will do, worked out before it starts: windows, groups, passes per frame, delay, memory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tpc_stream.bundle import Bundle
from tpc_stream.denoise import DenoiseConfig
from tpc_stream.errors import InputError
from tpc_stream.options import AnimateOptions
from tpc_stream.propagation import group_size_from_groups
from tpc_stream.window import check_window

ANALYSIS_PIXELS = 256
"""The short side at which poses and silhouettes are looked at, whatever the bundle's own size: smaller ones lose
wrists and ankles, larger ones cost the estimator and the search time and were not measured to gain anything."""

DEFAULT_GROUP_SIZE = 4
"""m of the paper: M = 30 groups for about 120 frames (section 4.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A bundle and the user's options, settled."""

    bundle_name: str
    canvas: tuple[int, int]
    """(width, height) in pixels at which everything geometric happens."""
    model: tuple[int, int]
    output: tuple[int, int]
    denoise: DenoiseConfig

    @property
    def new_frames(self) -> int:
        """Frames that each window adds."""
        return self.denoise.window - self.denoise.overlap

    @property
    def passes_per_frame(self) -> float:
        """Denoiser passes for each frame that leaves."""
        guided = 2 if self.denoise.guidance_scale != 1.0 else 1
        return self.denoise.steps * guided * self.denoise.window / self.new_frames

    @property
    def encodes_per_frame(self) -> float:
        """Expected calibrated pictures encoded per frame: distinct draws of S steps from groups of m."""
        if not self.denoise.tpc:
            return 0.0
        m = self.denoise.group_size
        return 1 - (1 - 1 / m) ** self.denoise.steps

    def delay_seconds(self, rate: Fraction | None) -> float | None:
        """Structural delay of a live source: the first frame of a window waits for its last."""
        return None if not rate else float((self.denoise.window - 1) / rate)

    def describe(self, rate: Fraction | None, frames: int | None) -> list[str]:
        """Lines for people."""
        d = self.denoise
        delay = self.delay_seconds(rate)
        source = "unknown length" if frames is None else f"{frames} frames"
        return [
            f"bundle {self.bundle_name}: {self.model[0]}x{self.model[1]}, "
            f"analysed at {self.canvas[0]}x{self.canvas[1]}, "
            f"output {self.output[0]}x{self.output[1]}; driving video: {source}"
            + (f" at {float(rate):.3f} fps" if rate else ""),
            f"windows of {d.window} frames, overlap {d.overlap}"
            + (f", structural delay {delay:.2f} s" if delay is not None else "")
            + f"; {d.steps} step{'s' if d.steps > 1 else ''}, guidance {d.guidance_scale:g}: "
            f"{self.passes_per_frame:.2f} denoiser passes a frame",
            f"calibration on, groups of {d.group_size}: "
            f"{self.encodes_per_frame:.2f} calibrated pictures encoded a frame"
            if d.tpc
            else "calibration off (--no-tpc): the reference alone",
        ]


def make_plan(bundle: Bundle, options: AnimateOptions) -> Plan:
    """Settles the options against the bundle; InputError for combinations that cannot run."""
    manifest = bundle.manifest
    window = options.window or manifest.window.length
    if window > manifest.window.max_length:
        raise InputError(f"bundle {manifest.name} takes windows of at most {manifest.window.max_length}, got {window}")
    overlap = manifest.window.overlap if options.overlap is None else options.overlap
    if options.groups is not None:
        group_size = group_size_from_groups(window, options.groups)
    elif options.group_size is not None:
        group_size = options.group_size
    else:
        group_size = _default_group_size(window, overlap if options.overlap is not None else 0)
    if options.overlap is None and options.window is not None:
        overlap = min(overlap, window // 2) // group_size * group_size
    check_window(length=window, overlap=overlap, group_size=group_size)
    scale = -(-ANALYSIS_PIXELS // min(manifest.width, manifest.height))
    guidance = manifest.sampling.guidance_scale if options.guidance_scale is None else options.guidance_scale
    output = options.size or (manifest.width, manifest.height)
    if abs(output[0] * manifest.height / (output[1] * manifest.width) - 1) > 0.02:
        raise InputError(
            f"an output of {output[0]}x{output[1]} would stretch the pictures of bundle {manifest.name}, which are "
            f"{manifest.width}x{manifest.height}; try --size {_near_size(output, manifest.width, manifest.height)}"
        )
    return Plan(
        bundle_name=manifest.name,
        canvas=(manifest.width * scale, manifest.height * scale),
        model=(manifest.width, manifest.height),
        output=output,
        denoise=DenoiseConfig(
            steps=options.steps or manifest.sampling.steps,
            guidance_scale=guidance,
            window=window,
            overlap=overlap,
            group_size=group_size,
            tpc=options.tpc,
            seed=options.seed,
            hold_seconds=options.hold_seconds,
        ),
    )


def _default_group_size(window: int, overlap: int) -> int:
    """The paper's 4, or the largest size below that cuts neither the window nor the overlap."""
    return next(m for m in range(DEFAULT_GROUP_SIZE, 0, -1) if window % m == 0 and overlap % m == 0)


def _near_size(output: tuple[int, int], width: int, height: int) -> str:
    scale = max(output[0] / width, output[1] / height)
    return f"{round(width * scale / 2) * 2}x{round(height * scale / 2) * 2}"
