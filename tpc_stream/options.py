"""Every choice of a run, in one frozen place."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Literal

from tpc_stream.bundle import DEFAULT_BUNDLE
from tpc_stream.drop_policy import POLICIES, DropPolicy
from tpc_stream.errors import InputError
from tpc_stream.frame import TransformKind
from tpc_stream.hwaccel import HWACCELS, HwAccel, settled
from tpc_stream.reading.source_info import SourceOptions, exact_seconds
from tpc_stream.steady import SteadyConfig

_WHOLE_NUMBERS = ("threads", "seed", "steps", "group_size", "groups", "chunk", "window", "overlap", "max_frames")
_NUMBERS = (
    "guidance_scale", "start_seconds", "end_seconds", "reconnect_seconds", "capture_rate", "hold_seconds",
    "min_visibility", "steady_tolerance",
)  # fmt: skip
_SIZES = ("size", "capture_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnimateOptions:
    """How a person is animated. None means: as the bundle says."""

    bundle: str | Path = DEFAULT_BUNDLE
    """A bundle's name or folder."""
    backend: str = "onnxrt"
    threads: int = 0
    """CPU threads of an engine; 0: all cores."""
    retry_precision: Literal["fp32"] | None = None
    """fp32: a pass that gives NaN, infinity or black is made once more in float32; None: it ends the run."""
    seed: int = 0
    """Decides the starting noise and the draws of Iterative Propagation."""
    steps: int | None = None
    """Denoising steps per frame."""
    guidance_scale: float | None = None
    """1.0: none."""
    tpc: bool = True
    """Whether the calibrated reference stands beside the reference itself."""
    group_size: int | None = None
    """Frames that share one calibrated feature at a step (m of the paper); 1: no Iterative Propagation. Default 4,
    the paper's value, or the window's length where that is shorter."""
    groups: int | None = None
    """Groups in a window (M of the paper) instead of the group size: m = floor(L / M)."""
    schedule: Literal["window", "diagonal"] = "window"
    """window: all steps on one window of frames after another. diagonal: chunks at as many noise levels as there are
    steps, in one pass: the least delay, for live sources, with bundles that were trained for mixed noise levels."""
    chunk: int | None = None
    """Frames that enter the diagonal together; None: 1."""
    window: int | None = None
    """Frames that are denoised together (L of the paper)."""
    overlap: int | None = None
    """Frames that a window shares with the one before."""
    fit: Literal["crop", "pad"] = "pad"
    """How a picture of another aspect is fitted: pad keeps all of it and repeats the edge, crop fills the frame and
    loses the sides. pad, because a person cut off cannot be recovered."""
    size: tuple[int, int] | None = None
    """Output (width, height) in pixels, both even; None: the bundle's."""
    start_seconds: float = 0.0
    end_seconds: float | None = None
    max_frames: int | None = None
    realtime: bool = False
    """Play a file at its own rate, as a camera would give it, and drop what is not taken in time."""
    drop: DropPolicy | None = None
    """What happens to frames that come faster than they are taken; None: latest for what does not wait, none for files
    and pipes. See `drop_policy`."""
    reconnect_seconds: float = 30.0
    """How long a live source that is gone is tried again before the run ends."""
    hwaccel: HwAccel = "auto"
    """Whether the GPU decodes (NVDEC) and encodes (NVENC) video. cuda: where it can, else software, with a warning;
    auto: the same without the warning if the backend runs on a GPU, else none."""
    capture_size: tuple[int, int] | None = None
    """(width, height) to ask a camera or the screen for."""
    capture_rate: float | None = None
    """Frames a second to ask a camera or the screen for; of pictures from a pipe, their rate."""
    reference_mask: str | Path | None = None
    """A picture whose bright pixels are the reference's person."""
    pose_video: str | Path | None = None
    """A video of pose pictures (such as DensePose), one for each frame of the motion; None: drawn from keypoints."""
    sam: str | Path | None = None
    """A folder that `python -m export sam` wrote: SAM cuts the reference's person out, where neither `reference_mask`
    nor the picture's own alpha does."""
    hold_seconds: float = 0.5
    """How long the last good calibration and pose stand in where a frame has no person."""
    min_visibility: float = 0.5
    """Keypoints less visible than this take no part in the calibration."""
    transform: TransformKind = "procrustes"
    """What the reference is laid onto each frame's person by; linear and affine are the paper's comparisons."""
    steady_tolerance: float = SteadyConfig().tolerance
    """IoU, [0, 1): so much less than the best is allowed in a frame, so that the calibrated person does not jump; 0 is
    the paper's pure argmax."""

    def __post_init__(self) -> None:
        self._check_types()
        if self.group_size is not None and self.groups is not None:
            raise InputError("give the number of groups or the group size, not both")
        for name, least in (
            ("group_size", 1),
            ("groups", 1),
            ("window", 1),
            ("chunk", 1),
            ("overlap", 0),
            ("steps", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"max_frames must be at least 1, got {self.max_frames}")
        if self.start_seconds < 0:
            raise InputError(f"start_seconds must not be negative, got {self.start_seconds}")
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise InputError(f"the range ends at {self.end_seconds} s, not after its start at {self.start_seconds} s")
        if self.size is not None and (min(self.size) < 16 or max(self.size) > 8192 or any(n % 2 for n in self.size)):
            raise InputError(f"the output size must be even and 16 to 8192 pixels, got {self.size[0]}x{self.size[1]}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"the seed is a number from 0 to 2^63 - 1, got {self.seed}")
        if not 0 <= self.hold_seconds < math.inf:
            raise InputError(f"hold_seconds must be a number from 0 on, got {self.hold_seconds}")
        if self.guidance_scale is not None and not math.isfinite(self.guidance_scale):
            raise InputError(f"guidance_scale must be a number, got {self.guidance_scale}")
        if not str(self.bundle):
            raise InputError("the bundle has no name; give one, such as mannequin, or a folder")
        if self.drop is not None and self.drop not in POLICIES:
            raise InputError(f"a drop policy is one of {', '.join(POLICIES)}, got {self.drop!r}")
        if self.hwaccel not in HWACCELS:
            raise InputError(f"hwaccel is one of {', '.join(HWACCELS)}, got {self.hwaccel!r}")
        if self.retry_precision not in (None, "fp32"):
            raise InputError(f"a pass is repeated in fp32 or not at all, got {self.retry_precision!r}")
        _ = self.source_options  # checks what it is made of
        if not 0 <= self.steady_tolerance < 1:
            raise InputError(f"steady_tolerance is a share from 0 up to 1, got {self.steady_tolerance}")
        if self.threads < 0:
            raise InputError(f"threads must not be negative, got {self.threads}")

    def _check_types(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if name in _WHOLE_NUMBERS and not _is_a(Integral, value):
                raise InputError(f"{name} must be a whole number, got {value!r}")
            if name in _NUMBERS and not _is_a(Real, value):
                raise InputError(f"{name} must be a number, got {value!r}")
            if name in _SIZES and not (
                isinstance(value, tuple | list) and len(value) == 2 and all(_is_a(Integral, n) for n in value)
            ):
                raise InputError(f"{name} must be (width, height) in whole pixels, got {value!r}")

    @property
    def settled_hwaccel(self) -> HwAccel:
        """What `hwaccel` comes to with this backend."""
        return settled(self.hwaccel, self.backend)

    @property
    def source_options(self) -> SourceOptions:
        """How the driving motion is opened."""
        rate = None if self.capture_rate is None else exact_seconds(self.capture_rate)
        options = SourceOptions(
            reconnect_seconds=self.reconnect_seconds, camera_size=self.capture_size, camera_rate=rate,
            hwaccel=self.settled_hwaccel,
        )  # fmt: skip
        return options if rate is None else replace(options, image_rate=rate)


def _is_a(kind: type, value: object) -> bool:
    """A number of this kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
