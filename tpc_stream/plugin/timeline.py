"""Where a host's denoising stands: which frames a call is about, at which step, and what each of them draws."""

from __future__ import annotations

from collections.abc import Iterable

from tpc_stream.errors import InputError
from tpc_stream.propagation import drawn_frame


class Timeline:
    """Frames by their global index, and the step, counted from the timesteps that go by.

    Args:
        frames: global indices, one for each frame of a call, in its order.
        group_size: consecutive frames that share one calibrated feature at a step.
        total: frames of the whole clip, so that its last group may be shorter; None: frames that do not end at a
            multiple of the group size are taken to end the clip, as in `propagation.draw_window`.

    Errors: InputError for no frames, for negative ones, or for a clip that ends before them.
    """

    def __init__(self, frames: Iterable[int], *, seed: int, group_size: int, total: int | None = None) -> None:
        self._seed, self._group_size, self._total = seed, group_size, total
        self.frames: tuple[int, ...] = ()
        self.step = 0
        self._counts = True
        self._last: float | None = None
        self._place(frames)

    def at(self, frames: Iterable[int] | None, *, step: int) -> None:
        """The host says itself which step comes; timesteps are not counted any more."""
        if step < 0:
            raise InputError(f"steps are counted from 0, got {step = }")
        if frames is not None:
            self._place(frames)
        self.step, self._counts = step, False

    def follow(self, timestep: float) -> None:
        """A call at this timestep is next: another one than the last is the next step, a higher one a new run."""
        if self._counts:
            if self._last is None or timestep > self._last:
                self.step = 0
            elif timestep < self._last:
                self.step += 1
        self._last = timestep

    def uses(self) -> tuple[int, ...]:
        """The global index of the frame whose calibrated features each frame uses at this step (Algorithm 1)."""
        return tuple(
            drawn_frame(index, seed=self._seed, step=self.step, group_size=self._group_size, total=self._end)
            for index in self.frames
        )

    def may_use(self, index: int) -> bool:
        """Whether any of the frames may draw this one at some step."""
        return index // self._group_size in {frame // self._group_size for frame in self.frames}

    def _place(self, frames: Iterable[int]) -> None:
        self.frames = tuple(frames)
        if not self.frames:
            raise InputError("at least one frame is shown, got none")
        end = max(self.frames) + 1
        self._end = end if self._total is None and end % self._group_size else self._total
        self.uses()  # what cannot be drawn is refused here
