"""What is measured: at real width on a GPU, and tiny on the CPU as a rehearsal of the same code."""

from __future__ import annotations

from dataclasses import dataclass

AS_WRITTEN = "as written"
"""What stands for a backend where torch runs the networks of `export/systems` themselves."""
CODECS = "codecs"
"""What stands for a backend where video is coded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of one run."""

    tiny: bool
    """Networks of a few channels: a rehearsal."""
    pixels: int
    """Of a side."""
    windows: tuple[int, ...]
    """Frames."""
    chunks: tuple[int, ...]
    """Frames that enter the diagonal together."""
    steps: tuple[int, ...]
    group_size: int
    passes: int
    """Timed passes of each role."""
    loops: int
    """Timed windows or ticks of each schedule."""
    clip: int
    """Frames of the video that is coded."""
    precision: str
    """Of the bundle."""
    backends: tuple[str, ...]
    """The first is what the others are held against: torch in float32."""

    @property
    def largest(self) -> int:
        """Frames in a pass, at most."""
        return max(*self.windows, *(chunk * step for chunk in self.chunks for step in self.steps))


FULL = Sizes(
    tiny=False, pixels=512, windows=(8, 16, 24), chunks=(1, 2, 4), steps=(1, 2, 4), group_size=4, passes=30, loops=6,
    clip=300, precision="fp16",
    backends=(
        "torch:cuda,precision=fp32", "torch:cuda,precision=fp16", "onnxrt:cuda", "torch:cuda,precision=fp16,graphs=on",
        "onnxrt:trt-rtx", "trt:frames=24", "torch:cuda,precision=fp16,compile=on", "onnxrt:tensorrt",
        "torch:cuda,precision=bf16", "torch:cuda,precision=fp16,channels_last=off",
    ),
)  # fmt: skip
REHEARSAL = Sizes(
    tiny=True, pixels=128, windows=(4,), chunks=(1,), steps=(2,), group_size=2, passes=2, loops=1,
    clip=20, precision="fp32", backends=("torch:cpu,precision=fp32", "onnxrt", "onnxrt:cuda", "torch:cuda"),
)  # fmt: skip
