"""A GPU for each worker: its environment says so before anything is imported that could ask for one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tpc_stream.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
_PROVIDERS = ("cuda", "tensorrt", "trt-rtx")


def read_devices(text: str | None) -> tuple[str, ...]:
    """The GPUs of such as "0,1": numbers as nvidia-smi tells them, or names like GPU-3f1a. Raises InputError."""
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(name.isdecimal() or name.startswith(("GPU-", "MIG-")) for name in names):
        raise InputError(f"--devices are GPUs by number or UUID, such as 0,1, got {text!r}; nvidia-smi -L lists them")
    if len(set(names)) < len(names):
        raise InputError(f"--devices names a GPU twice: {text}; for several workers on each add --workers")
    return names


def uses_gpu(backend: str) -> bool:
    """Whether the backend of that name, as in `backends.open_backend`, computes on an NVIDIA GPU."""
    kind, _, settings = backend.partition(":")
    return kind == "trt" or settings.split(",")[0] in _PROVIDERS


def variables_of(device: str, present: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the environment of a worker on that GPU says.

    A number counts among the GPUs that are visible already, in the order of nvidia-smi unless another is asked for.
    Raises InputError where it is none of them. present: None: this process's environment.
    """
    present = os.environ if present is None else present
    seen = [name.strip() for name in present.get(VISIBLE, "").split(",") if name.strip()]
    if VISIBLE in present and device.isdecimal():
        if int(device) >= len(seen):
            raise InputError(
                f"there is no GPU {device}: {VISIBLE}={present[VISIBLE]} leaves {len(seen)}, counted from 0"
            )
        device = seen[int(device)]
    return {VISIBLE: device, ORDER: present.get(ORDER, "PCI_BUS_ID")}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets these variables in the block: processes that are begun there have them from their start."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
