"""Which passes and loops are measured, the most telling first, since the time may end before they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.gpu.rows import Row
from bench.gpu.sizes import Sizes
from tpc_stream.manifest import Role


@dataclass(frozen=True, slots=True)
class Setting:
    """One measurement."""

    role: Role | Literal["", "pictures"]
    """Empty for a loop."""
    vae: str
    frames: int | None = None
    tpc: bool | None = None
    steps: int | None = None
    schedule: str | None = None
    """None: a pass of one role."""
    drawn: int = 0
    """Calibrated pictures in a pass."""

    def row(self, backend: str) -> Row:
        """Without figures."""
        return Row(
            kind="pass" if self.schedule is None else "loop", backend=backend, what=self.schedule or self.role,
            vae=self.vae, frames=self.frames, tpc=self.tpc, steps=self.steps,
        )  # fmt: skip

    def axes(self, tokens: list[int]) -> dict[str, int]:
        """Lengths of the named axes of a pass."""
        return named_axes(tokens, frames=self.frames or 1, drawn=self.drawn, tpc=bool(self.tpc))


def checked_axes(sizes: Sizes, tokens: list[int]) -> dict[str, int]:
    """Of the example that is held against torch in float32: a tick of the smallest diagonal, so that no other shape is
    compiled for it."""
    steps = max(sizes.steps)
    return named_axes(tokens, frames=steps * sizes.chunks[0], drawn=steps, tpc=True)


def named_axes(tokens: list[int], *, frames: int, drawn: int, tpc: bool) -> dict[str, int]:
    """`tokens` of each feature, `drawn` calibrated pictures; a pass over pictures alone has `drawn` or `frames`."""
    made = {"F": frames, "N": max(drawn, 1), "U": max(drawn, 1)}
    for k, count in enumerate(tokens):
        made |= {f"R{k}": count, f"T{k}": count, f"K{k}": count if tpc else 0}
    return made


def pass_settings(sizes: Sizes) -> Iterator[Setting]:
    """The denoiser at every number of frames, the others at the middle window's."""
    middle, m, levels = sizes.windows[len(sizes.windows) // 2], sizes.group_size, max(sizes.steps)
    diagonal = [chunk * levels for chunk in sizes.chunks if chunk * levels not in sizes.windows]
    frames = [*diagonal[:1], middle, *(n for n in sizes.windows if n != middle), *diagonal[1:]]
    for count in frames:
        yield Setting("denoise", "tiny", count, True, drawn=-(-count // m) if count in sizes.windows else levels)
    yield Setting("denoise", "tiny", middle, False, drawn=1)
    yield Setting("reference", "tiny", -(-middle // m), drawn=-(-middle // m))
    yield Setting("pose", "tiny", middle)
    yield Setting("tokens", "tiny", 1, drawn=1)
    for vae in ("tiny", "kl"):
        yield Setting("decode", vae, middle)
        yield Setting("encode", vae, -(-middle // m), drawn=-(-middle // m))


def loop_settings(sizes: Sizes) -> Iterator[Setting]:
    """Both schedules at the most steps with calibration first; then fewer steps, other sizes, without calibration."""
    settings = [
        Setting("", "tiny", frames, tpc, steps, schedule)
        for schedule, counts in (("diagonal", sizes.chunks), ("window", sizes.windows))
        for steps in sizes.steps
        for frames in counts
        for tpc in (True, False)
    ]
    middle = {"diagonal": sizes.chunks[0], "window": sizes.windows[len(sizes.windows) // 2]}

    def telling(setting: Setting) -> tuple[bool, bool, bool]:
        return setting.frames != middle[str(setting.schedule)], not setting.tpc, setting.steps != sizes.steps[-1]

    yield from sorted(settings, key=telling)
    for schedule in ("diagonal", "window"):
        yield Setting("", "kl", middle[schedule], True, sizes.steps[-1], schedule)
