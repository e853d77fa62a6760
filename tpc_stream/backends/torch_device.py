"""Arrays on torch's device: sent, fetched, joined, cut and mixed there, so that only pictures cross."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tpc_stream.engine import Array
from tpc_stream.errors import BackendError
from tpc_stream.resident import Resident


def find_device(kind: str) -> torch.device:
    """The device; BackendError where torch has none such."""
    if kind == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None:
            raise BackendError(
                f"the installed torch {torch.__version__} was built without CUDA: install one with it (pytorch.org)"
            )
        raise BackendError(
            f"torch {torch.__version__} finds no GPU that it can use: nvidia-smi must work, and the driver must know "
            f"CUDA {torch.version.cuda}"
        )
    return torch.device(kind)


class TorchDevice:
    """Where arrays of the backend torch are; see `resident.Device`.

    All engines and all threads queue their work on one stream, so that what one wrote the next may read.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def told(self) -> str:
        """For people."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    def send(self, array: Array) -> Resident:
        """The array, brought up; it may change afterwards."""
        return self.held(self.brought(array))

    def fetch(self, array: Resident) -> Array:
        """A copy, brought down."""
        tensor = self.opened(array)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        host.copy_(tensor, non_blocking=True)
        if tensor.is_cuda:
            torch.cuda.current_stream(self.device).synchronize()
        return host.numpy()

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Resident:
        return self.held(torch.zeros(shape, dtype=getattr(torch, dtype.name), device=self.device))

    def rows(self, array: Resident, start: int, stop: int) -> Resident:
        """array[start:stop]."""
        return self.held(self.opened(array)[start:stop])

    def joined(self, parts: Sequence[Resident]) -> Resident:
        """The rows of all parts."""
        return self.held(torch.cat([self.opened(part) for part in parts]))

    def mixed(self, terms: Sequence[tuple[Array, Resident]]) -> Resident:
        """The sum of weight * array."""
        made: Tensor | None = None
        for weight, array in terms:
            product = self.brought(weight) * self.opened(array)
            made = product if made is None else made + product
        assert made is not None
        return self.held(made)

    def finite(self, array: Resident) -> bool:
        """Whether it holds neither NaN nor infinity."""
        return bool(torch.isfinite(self.opened(array)).all())

    def brought(self, array: Array) -> Tensor:
        """A tensor on the device with the array's values."""
        cuda = self.device.type == "cuda"
        host = torch.empty(array.shape, dtype=getattr(torch, array.dtype.name), pin_memory=cuda)
        np.copyto(host.numpy(), array)  # the array may change as soon as this returns
        return host.to(self.device, non_blocking=True) if cuda else host

    def held(self, tensor: Tensor) -> Resident:
        return Resident(self, tuple(tensor.shape), np.dtype(str(tensor.dtype).removeprefix("torch.")), tensor)

    def opened(self, array: Resident) -> Tensor:
        return cast(Tensor, array.data)
