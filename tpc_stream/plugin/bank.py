"""A reference-attention bank: what the self-attentions of a reference pass were given, for those of the denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tpc_stream.errors import InputError
from tpc_stream.plugin.features import Drawn, entry
from tpc_stream.plugin.processors import Board

LATENTS = "latents [C, h, w]"
Bank = Mapping[str, Tensor]
"""Attention's name -> [N, T, C]."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What a call of the denoiser says that its reference pass is told as well."""

    timestep: float
    context: Tensor | None
    """[1, T, C] of encoder_hidden_states, of a part that is shown something."""
    more: Mapping[str, Tensor]
    """added_cond_kwargs of the same row."""


class BankWriter:
    """Runs the reference pass on latents and keeps what it wrote while the timestep stays.

    Args:
        network: the reference network.
        names: attentions whose inputs are wanted.
        board: of the attachment.
        timestep: of the reference pass; None: the denoiser's own, so that the bank is written anew at every step.
    """

    def __init__(self, network: nn.Module, names: Sequence[str], board: Board, *, timestep: int | None) -> None:
        self._network, self._names, self._board, self._timestep = network, tuple(names), board, timestep
        self._reference: Tensor | None = None
        self._bank: dict[int | None, Bank] = {}
        self._written_at: float | None = None

    def begin(self, reference: Tensor | None) -> None:
        """Another clip: `reference` latents [C, h, w], or none where the host shows its reference itself."""
        self._reference = None if reference is None else entry(reference, rank=3, what=f"reference: {LATENTS}")
        self._bank, self._written_at = {}, None

    def keep(self, drawn: Sequence[int]) -> None:
        """Forgets all calibrated copies but these."""
        self._bank = {key: bank for key, bank in self._bank.items() if key is None or key in drawn}

    def added(self, uses: Sequence[int], latents: Drawn, call: Call, *, step: int) -> dict[str, Tensor]:
        """Attention's name -> [F, T, C], r and behind it c_i, for frames that use the calibrated copies `uses`."""
        timestep = call.timestep if self._timestep is None else float(self._timestep)
        if timestep != self._written_at:
            self._bank, self._written_at = {}, timestep
        new = [index for index in dict.fromkeys(uses) if index not in self._bank]
        keys: list[int | None] = list(new)
        pictures = [latents.stacked(new, step=step)] if new else []
        if self._reference is not None and None not in self._bank:
            keys, pictures = [None, *keys], [self._reference[None], *[p.to(self._reference) for p in pictures]]
        if keys:
            written = self._write(torch.cat(pictures), timestep, call)
            for row, key in enumerate(keys):
                self._bank[key] = {name: written[name][row : row + 1] for name in self._names}
        shown: list[list[int | None]] = [[None, index] if None in self._bank else [index] for index in uses]
        return {
            name: torch.cat([torch.cat([self._bank[key][name] for key in row], dim=1) for row in shown])
            for name in self._names
        }

    def _write(self, latents: Tensor, timestep: float, call: Call) -> Bank:
        parameter = next(self._network.parameters())
        latents = latents.to(parameter)
        told = {name: tensor.expand(len(latents), *tensor.shape[1:]) for name, tensor in call.more.items()}
        options = {"added_cond_kwargs": told} if told else {}
        context = None if call.context is None else call.context.expand(len(latents), -1, -1)
        self._board.written = {}
        try:
            times = torch.full((len(latents),), timestep, device=latents.device)
            self._network(latents, times, encoder_hidden_states=context, **options)
            written = self._board.written
        finally:
            self._board.written = None
        missing = [name for name in self._names if name not in written]
        if missing:
            raise InputError(
                f"the reference pass did not reach {missing[0]} and {len(missing) - 1} others; name `blocks`"
            )
        return written
