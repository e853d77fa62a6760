"""Training by several processes on one machine: each has batches of its own, all step by the mean of their gradients.

On a CPU two processes of one thread train faster than one process of two threads: small layers do not split well.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def count() -> int:
    """Processes that train together; 1 where nobody joined any."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """This process's number among them, from 0. The first alone writes files and prints."""
    return dist.get_rank() if _joined() else 0


def agreed(value: float) -> float:
    """The first process's value, in all: what ends a training must end it after the same step everywhere."""
    if not _joined():
        return value
    told = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(told, 0)
    return float(told)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Put the mean of all processes' gradients in place of each one's own; a missing gradient counts as zero."""
    if not _joined():
        return
    learned = [p for p in parameters if p.requires_grad]
    for p in learned:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.reshape(-1) for p in learned if p.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, mean in zip(learned, flat.split([p.numel() for p in learned]), strict=True):
        if p.grad is not None:
            p.grad.copy_(mean.view_as(p))  # in place: a fused optimiser reads it in the parameter's own memory layout


def in_processes(work: Callable[[T], None], argument: T, *, processes: int) -> None:
    """Call work(argument) in so many processes that average their gradients over loopback; in this one if it is one.

    Raises what torch raises when a process fails; the others are ended.
    """
    if processes == 1:
        work(argument)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    torch.multiprocessing.spawn(_join, (work, argument, processes, port), nprocs=processes)  # type: ignore[no-untyped-call]


def _join(number: int, work: Callable[[T], None], argument: T, processes: int, port: int) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=number, world_size=processes)
    try:
        work(argument)
    finally:
        dist.destroy_process_group()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
