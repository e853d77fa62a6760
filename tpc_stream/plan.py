"""What a run will do, worked out before it starts: windows, groups, passes per frame, delay, memory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tpc_stream.bundle import Bundle
from tpc_stream.denoise import DenoiseConfig
from tpc_stream.drawing.draw import APPROXIMATE
from tpc_stream.errors import InputError
from tpc_stream.guidance import guidance_passes
from tpc_stream.manifest import Drawing
from tpc_stream.noise_levels import noise_levels
from tpc_stream.options import AnimateOptions
from tpc_stream.schedule import delay_frames, settle

ANALYSIS_PIXELS = 256
"""The short side at which poses and silhouettes are looked at, whatever the bundle's own size: smaller ones lose
wrists and ankles, larger ones cost the estimator and the search time and were not measured to gain anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A bundle and the user's options, settled."""

    bundle_name: str
    canvas: tuple[int, int]
    """(width, height) in pixels at which everything geometric happens."""
    model: tuple[int, int]
    output: tuple[int, int]
    denoise: DenoiseConfig
    passes_per_window: int
    """Denoiser passes over a window's frames (or a chunk's): steps, each with as many as its guidance takes."""
    delay_frames: int
    """Frames that a live frame may wait for by the schedule, beside all computing."""
    pose: str = ""
    """What the pose network is shown, where it is pictures."""
    note: str = ""
    """What a user should know of the schedule."""

    @property
    def new_frames(self) -> int:
        """Frames that each window adds."""
        return self.denoise.window - self.denoise.overlap

    @property
    def passes_per_frame(self) -> float:
        """Denoiser passes for each frame that leaves."""
        return self.passes_per_window * self.denoise.window / self.new_frames

    @property
    def encodes_per_frame(self) -> float:
        """Expected calibrated pictures encoded per frame: distinct draws of S steps from groups of m."""
        if not self.denoise.tpc:
            return 0.0
        m = self.denoise.group_size
        return 1 - (1 - 1 / m) ** self.denoise.steps

    def delay_seconds(self, rate: Fraction | None) -> float | None:
        """Structural delay of a live source: the first frame of a window or chunk waits for its last, and a chunk of
        the diagonal for the chunks after it."""
        return None if not rate else float(self.delay_frames / rate)

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
            (
                f"diagonal of {d.steps} chunks of {d.window} frame{'s' if d.window > 1 else ''}"
                if d.schedule == "diagonal"
                else f"windows of {d.window} frames, overlap {d.overlap}"
            )
            + (f", structural delay {delay:.2f} s" if delay is not None else "")
            + f"; {d.steps} step{'s' if d.steps > 1 else ''}, guidance {d.guidance_scale:g}: "
            f"{self.passes_per_frame:.2f} denoiser passes a frame",
            f"calibration on, groups of {d.group_size}: "
            f"{self.encodes_per_frame:.2f} calibrated pictures encoded a frame"
            if d.tpc
            else "calibration off (--no-tpc): the reference alone",
            *(line for line in (self.pose, self.note) if line),
        ]


def make_plan(bundle: Bundle, options: AnimateOptions) -> Plan:
    """Settles the options against the bundle; InputError for combinations that cannot run."""
    manifest = bundle.manifest
    together = settle(manifest, options)
    scale = -(-ANALYSIS_PIXELS // min(manifest.width, manifest.height))
    guidance = manifest.sampling.guidance_scale if options.guidance_scale is None else options.guidance_scale
    output = options.size or (manifest.width, manifest.height)
    if abs(output[0] * manifest.height / (output[1] * manifest.width) - 1) > 0.02:
        raise InputError(
            f"an output of {output[0]}x{output[1]} would stretch the pictures of bundle {manifest.name}, which are "
            f"{manifest.width}x{manifest.height}; try --size {_near_size(output, manifest.width, manifest.height)}"
        )
    steps = options.steps or manifest.sampling.steps
    passes = guidance_passes(manifest.guidance, scale=guidance)
    return Plan(
        bundle_name=manifest.name,
        canvas=(manifest.width * scale, manifest.height * scale),
        model=(manifest.width, manifest.height),
        output=output,
        denoise=DenoiseConfig(
            steps=steps,
            guidance_scale=guidance,
            window=together.window,
            overlap=together.overlap,
            group_size=together.group_size,
            tpc=options.tpc,
            seed=options.seed,
            hold_seconds=options.hold_seconds,
            schedule=together.schedule,
        ),
        passes_per_window=len(noise_levels(manifest.sampling, steps=steps)) * len(passes),
        pose=_pose(manifest.pose.drawing, options.pose_video),
        delay_frames=delay_frames(together, steps) + manifest.pose.frames_after,
        note=together.note,
    )


def _pose(drawing: Drawing, video: str | Path | None) -> str:
    """A line on what the pose network is shown."""
    if drawing == "keypoints":
        return ""
    if video is not None:
        return f"pose pictures ({drawing}): from {video}"
    if drawing in APPROXIMATE:
        return (
            f"pose pictures ({drawing}): APPROXIMATE, drawn from keypoints and silhouette; "
            "for the real ones give --pose-video"
        )
    return f"pose pictures ({drawing}): drawn from the body's keypoints, without hands and face"


def _near_size(output: tuple[int, int], width: int, height: int) -> str:
    scale = max(output[0] / width, output[1] / height)
    return f"{round(width * scale / 2) * 2}x{round(height * scale / 2) * 2}"
