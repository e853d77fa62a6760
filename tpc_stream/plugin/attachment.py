"""`attach`: Test-time Procrustes Calibration in a diffusers UNet that its host goes on calling as before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from tpc_stream.errors import InputError
from tpc_stream.plugin.bank import LATENTS, BankWriter, Call
from tpc_stream.plugin.features import Drawn, Pictures
from tpc_stream.plugin.placing import Placed, attention_names
from tpc_stream.plugin.processors import Board, Scene
from tpc_stream.plugin.timeline import Timeline

Kind = Literal["tokens", "bank"]
TOKENS = "calibrated tokens [T, C]"


def attach(
    unet: nn.Module,
    *,
    kind: Kind,
    seed: int = 0,
    group_size: int = 4,
    guidance: Sequence[bool] = (False, True),
    writer: nn.Module | None = None,
    writer_timestep: int | None = None,
    blocks: Sequence[str] = ("",),
) -> Attachment:
    """Puts the calibrated branch and Iterative Propagation (sections 4.2 and 4.3) into a UNet; nothing is trained.

    The weights stay as they are, and until `show` is called so does every output, bit for bit. The host calls the UNet,
    or the pipeline around it, as ever: frames are the batch, steps are counted from the timesteps that go by.

    Args:
        unet: any diffusers UNet with attention processors: UNet2DConditionModel, UNetMotionModel and their like.
        kind: how the reference enters. "tokens": as encoder_hidden_states, so that cross-attention becomes
            K = V = [r, c_i]. "bank": as what a reference pass wrote, so that self-attention becomes [own, r, c_i].
        seed: of the draws. What a frame draws follows from (seed, its global index, step) alone.
        group_size: m, consecutive frames that share one calibrated feature at a step; 1: every frame its own.
        guidance: the passes that a batch holds one after the other, and whether each is conditional; the default is
            the usual [unconditional, conditional]. Parts that are not are shown nothing. A batch of as many rows as
            frames is one conditional pass.
        writer: with "bank", the reference network; its self-attentions have the names of those that read. None: `unet`.
        writer_timestep: with "bank", the reference pass's; None: each step's own, at which it is then run anew.
        blocks: with "bank", prefixes of the names of attentions that read, such as ("mid_block", "up_blocks").

    Errors: InputError where the UNet cannot be calibrated this way, with what to do instead.
    """
    if kind not in ("tokens", "bank"):
        raise InputError(f'kind is "tokens" or "bank", got {kind!r}')
    if group_size < 1:
        raise InputError(f"a group has at least one frame, got {group_size = }")
    if not any(guidance):
        raise InputError(f"guidance names at least one conditional pass, got {tuple(guidance)}")
    if kind == "tokens" and (writer is not None or writer_timestep is not None or tuple(blocks) != ("",)):
        raise InputError('writer, writer_timestep and blocks are for kind="bank"; tokens come from the host')
    return Attachment(
        unet, kind=kind, seed=seed, group_size=group_size, guidance=tuple(guidance), writer=writer,
        writer_timestep=writer_timestep, blocks=tuple(blocks),
    )  # fmt: skip


class Attachment:
    """A UNet with calibration attached; made by `attach`, ended by `detach` or by leaving its `with` block."""

    def __init__(
        self,
        unet: nn.Module,
        *,
        kind: Kind,
        seed: int,
        group_size: int,
        guidance: tuple[bool, ...],
        writer: nn.Module | None,
        writer_timestep: int | None,
        blocks: tuple[str, ...],
    ) -> None:
        names = attention_names(unet, kind=kind, blocks=blocks)
        self._kind, self._seed, self._group_size, self._guidance = kind, seed, group_size, guidance
        self._names = names
        self._board = Board()
        self._timeline: Timeline | None = None
        self._drawn: Drawn | None = None
        self._hidden = False
        self._bank: BankWriter | None = None
        if kind == "bank":
            self._bank = BankWriter(writer or unet, names, self._board, timestep=writer_timestep)
        self._placed = [Placed(unet, names, self._board)]
        if writer is not None and writer is not unet:
            self._placed.append(Placed(writer, names, self._board))
        for placed in self._placed:  # only when all of them can be
            placed.place()
        self._hooks = [
            unet.register_forward_pre_hook(self._before, with_kwargs=True),
            unet.register_forward_hook(self._after, always_call=True),
        ]

    def show(
        self,
        frames: Iterable[int],
        *,
        calibrated: Pictures,
        reference: Tensor | None = None,
        total: int | None = None,
    ) -> None:
        """From the next call on, each pass of guidance holds these frames, and they are shown their drawn c_i.

        Args:
            frames: global indices, in the order of the batch.
            calibrated: global frame index -> what is made of its calibrated picture, as a mapping or as a function;
                a function is asked for drawn frames only, once each. "tokens": [T, C] or [1, T, C], encoded as the
                reference's own tokens are. "bank": latents [C, h, w] or [1, C, h, w] for the reference network.
            reference: with "bank", the reference's latents; None where the host itself shows r.
            total: frames of the clip, where known: its last group may be shorter.

        Errors: InputError for frames that cannot be drawn, or after `detach`.
        """
        if not self._hooks:
            raise InputError("this calibration was detached; attach it again")
        if reference is not None and self._bank is None:
            raise InputError('with kind="tokens" the reference is what the UNet is given as encoder_hidden_states')
        timeline = Timeline(frames, seed=self._seed, group_size=self._group_size, total=total)
        if self._bank is not None:
            self._bank.begin(reference)
        rank, what = (2, TOKENS) if self._bank is None else (3, f"calibrated {LATENTS}")
        self._drawn = Drawn(calibrated, rank=rank, what=what)
        self._timeline = timeline

    def at(self, step: int, *, frames: Iterable[int] | None = None) -> None:
        """For hosts with a loop of their own: the next calls are of this step, and of these frames where they change.

        Needed where one step calls the UNet for several windows, or a scheduler comes to one timestep twice.
        """
        if self._timeline is None or self._drawn is None:
            raise InputError("nothing is shown yet: call show first")
        self._timeline.at(frames, step=step)
        self._drawn.keep(self._timeline.may_use)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Within, the UNet does what it did before: for hosts that call it for the unconditional pass alone."""
        before, self._hidden = self._hidden, True
        try:
            yield
        finally:
            self._hidden = before

    @property
    def step(self) -> int:
        """The step of the last call, from 0."""
        return 0 if self._timeline is None else self._timeline.step

    @property
    def uses(self) -> tuple[int, ...]:
        """The global index of the frame whose calibrated features each frame uses at this step; none: nothing shown."""
        return () if self._timeline is None else self._timeline.uses()

    def detach(self) -> None:
        """Puts back the very processors that were there. Doing it twice is doing it once.

        Errors: InputError, and nothing changed, where another has put processors over these: theirs go first.
        """
        if not self._hooks:
            return
        for placed in self._placed:
            placed.check()
        for placed in self._placed:
            placed.restore()
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._timeline, self._drawn = [], None, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def _before(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The UNet is about to be called: the scene of this call is set."""
        if self._timeline is None or self._drawn is None or self._hidden or self._board.written is not None:
            return
        given = dict(zip(("sample", "timestep", "encoder_hidden_states"), args, strict=False)) | kwargs
        timestep = _only(given["timestep"])
        parts = self._parts(given["sample"], len(self._timeline.frames))
        self._timeline.follow(timestep)
        uses, step = self._timeline.uses(), self._timeline.step
        if self._bank is None:
            drawn = tuple(dict.fromkeys(uses))
            tokens = self._drawn.stacked(drawn, step=step)
            shown = tokens[torch.tensor([drawn.index(index) for index in uses], device=tokens.device)]
            added = dict.fromkeys(self._names, shown)
        else:
            self._bank.keep(uses)
            added = self._bank.added(uses, self._drawn, _call(given, timestep, parts), step=step)
        self._board.scene = Scene(parts, added)

    def _after(self, unet: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._board.written is None:
            self._board.scene = None

    def _parts(self, sample: Tensor, frames: int) -> tuple[bool, ...]:
        """A clip's latents [B, C, F, h, w] become rows as its batch does: B times F."""
        rows = sample.shape[0] * (sample.shape[2] if sample.ndim == 5 else 1)
        if rows == frames:
            return (True,)
        if rows == frames * len(self._guidance):
            return self._guidance
        raise InputError(
            f"a batch of {rows} rows is neither {frames} frames nor {len(self._guidance)} times as many: "
            "show the frames that the batch holds, or name its passes in attach's guidance"
        )


def _only(timestep: Tensor | float) -> float:
    """The one timestep of a call."""
    if not isinstance(timestep, Tensor):
        return float(timestep)
    values = {float(value) for value in timestep.flatten().tolist()}
    if len(values) != 1:
        raise InputError(f"the rows of one call stand at one timestep, got {sorted(values)}")
    return values.pop()


def _call(given: Mapping[str, Any], timestep: float, parts: tuple[bool, ...]) -> Call:
    """Of the first row that is shown something."""

    def row(tensor: Tensor) -> Tensor:
        first = len(tensor) * parts.index(True) // len(parts)
        return tensor[first : first + 1]

    context = given.get("encoder_hidden_states")
    more = given.get("added_cond_kwargs") or {}
    return Call(timestep, None if context is None else row(context), {k: row(v) for k, v in more.items()})
