"""Which NVIDIA GPU and driver are here, asked of the driver's own library; no package is needed for that."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Protocol

from tpc_stream.errors import BackendError
from tpc_stream.plans.key import Gpu

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")
NO_DRIVER = "no NVIDIA driver (libcuda.so.1) on this machine: install it, nvidia-smi must work"


class CudaDriver(Protocol):
    """The functions of libcuda.so.1 that are asked; each gives 0 where it succeeds."""

    def cuInit(self, flags: int) -> int: ...
    def cuDeviceGetCount(self, count: object) -> int: ...
    def cuDeviceGet(self, device: object, ordinal: int) -> int: ...
    def cuDeviceGetName(self, name: object, length: int, device: object) -> int: ...
    def cuDeviceGetAttribute(self, value: object, attribute: int, device: object) -> int: ...
    def cuDriverGetVersion(self, version: object) -> int: ...


def load_driver() -> CudaDriver:
    """The driver's library; BackendError where there is none."""
    try:
        library: CudaDriver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BackendError(NO_DRIVER) from error
    return library


def find_gpus(driver: CudaDriver | None = None) -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in CUDA's order; BackendError with what to do where there is none."""
    driver = driver or load_driver()
    count, version = ctypes.c_int(), ctypes.c_int()
    _ask("cuInit", driver.cuInit(0))
    _ask("cuDriverGetVersion", driver.cuDriverGetVersion(ctypes.byref(version)))
    _ask("cuDeviceGetCount", driver.cuDeviceGetCount(ctypes.byref(count)))
    if count.value == 0:
        raise BackendError("the NVIDIA driver shows no GPU: see nvidia-smi and CUDA_VISIBLE_DEVICES")
    cuda = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    return [_gpu(driver, ordinal, driver_version() or cuda) for ordinal in range(count.value)]


def driver_version(path: Path = _DRIVER_VERSION) -> str:
    """Such as "580.65.06", as the kernel module tells it; empty where it does not."""
    try:
        text = path.read_text()
    except OSError:
        return ""
    found = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", text)
    return found[0] if found else ""


def _gpu(driver: CudaDriver, ordinal: int, version: str) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    _ask("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), ordinal))
    _ask("cuDeviceGetName", driver.cuDeviceGetName(name, len(name), device))
    _ask("cuDeviceGetAttribute", driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device))
    _ask("cuDeviceGetAttribute", driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device))
    return Gpu(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", version)


def _ask(function: str, code: int) -> None:
    if code:
        raise BackendError(f"the NVIDIA driver's {function} gave error {code}: nvidia-smi tells more")
