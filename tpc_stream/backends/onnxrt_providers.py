"""The GPU providers of ONNX Runtime: which package has each, and the proof that a session really uses it.

ONNX Runtime goes on without a provider that it cannot start and runs on the CPU instead. Nothing here does that: a
session whose provider is not the one asked for, or in which it runs no node, is refused.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import onnxruntime as ort

from tpc_stream.backends.onnxrt_device import Place
from tpc_stream.errors import BackendError, InputError

_GPU_PACKAGE = 'pip uninstall -y onnxruntime && pip install "onnxruntime-gpu[cuda,cudnn]"'
_CUDA, _RTX = Place("cuda"), Place("gpu", vendor=0x10DE)
_RTX_PACKAGE = "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider."""

    setting: str
    """What follows the colon in `--backend onnxrt:...`."""
    name: str
    """ONNX Runtime's own name."""
    install: str
    """The command that brings it."""
    plugin: str = ""
    """The module of a provider that is a plug-in; empty where it is built into an ONNX Runtime package."""
    place: Place = _CUDA
    """Where its arrays can stay."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What ONNX Runtime is told of it."""
    in_float32: Mapping[str, str] = field(default_factory=dict)
    """The same where no TensorFloat-32 may be used, whose products keep 10 bits; nothing: it cannot be told."""


PROVIDERS: dict[str, Provider] = {
    provider.setting: provider
    for provider in (
        Provider("cuda", "CUDAExecutionProvider", _GPU_PACKAGE, in_float32={"use_tf32": "0"}),
        Provider("tensorrt", "TensorrtExecutionProvider", f"{_GPU_PACKAGE} tensorrt"),
        Provider("trt-rtx", "NvTensorRTRTXExecutionProvider", _RTX_PACKAGE, "onnxruntime_ep_nv_tensorrt_rtx", _RTX),
    )
}


def provider_of(setting: str) -> Provider:
    """The provider that a setting names; InputError for an unknown one."""
    if setting not in PROVIDERS:
        known = ", ".join(f"onnxrt:{name}" for name in PROVIDERS)
        raise InputError(f"the backend onnxrt has no provider {setting!r}; there are onnxrt (the CPU), {known}")
    return PROVIDERS[setting]


def require(provider: Provider) -> None:
    """Makes the provider known to ONNX Runtime; BackendError with what to install where that cannot be."""
    if provider.plugin:
        _register(provider)
        return
    available = ort.get_available_providers()
    if provider.name not in available:
        raise BackendError(
            f"onnxruntime {ort.__version__} as installed has no {provider.name} (only {', '.join(available)}); "
            f"install it: {provider.install}"
        )
    # CUDA and cuDNN that pip installed are not on the loader's path. It prints, and stdout may be a video.
    with redirect_stdout(sys.stderr):
        ort.preload_dlls()


def open_session(provider: Provider, model: Path | bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    """A session that runs on the provider; BackendError where it cannot, or where ONNX Runtime chose another.

    model: a file, or a graph's bytes.
    """
    path = model if isinstance(model, Path) else "a graph between two others"
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    wanted: list[tuple[str, dict[str, str]]] | None = [(provider.name, dict(provider.options))]
    if provider.plugin:
        devices = [device for device in ort.get_ep_devices() if device.ep_name == provider.name]
        if not devices:
            raise BackendError(f"{provider.name} finds no GPU that it can use: nvidia-smi tells which there are")
        options.add_provider_for_devices(devices[:1], {})
        wanted = None
    try:
        given = model if isinstance(model, bytes) else str(model)
        session = ort.InferenceSession(given, options, providers=wanted, enable_fallback=0)
    except Exception as error:  # the runtime raises a class of its own for each status code, without a common base
        raise BackendError(
            f"{provider.name} cannot open {path}: {first_line(error)}; where a library is missing: {provider.install}"
        ) from error
    _require_used(provider, session, path)
    return session


def nodes_by_provider(session: ort.InferenceSession) -> Counter[str]:
    """How many nodes of the optimised graph each provider runs."""
    counted: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counted[part.ep_name] += len(part.get_nodes())
    return counted


def first_line(error: Exception) -> str:
    """The runtime's errors go on for lines; the first says what happened."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _register(provider: Provider) -> None:
    if any(device.ep_name == provider.name for device in ort.get_ep_devices()):
        return  # once a process
    try:
        plugin = import_module(provider.plugin)
    except ImportError as error:
        raise BackendError(f"the plug-in of {provider.name} is not installed: {provider.install}") from error
    try:
        ort.register_execution_provider_library(provider.name, plugin.get_library_path())
    except Exception as error:  # as above: a class for each status code
        driver = "libcuda.so" in str(error)
        mend = "install the NVIDIA driver (nvidia-smi must work)" if driver else f"install it again: {provider.install}"
        raise BackendError(f"{provider.name} cannot be loaded: {first_line(error)}; {mend}") from error


def _require_used(provider: Provider, session: ort.InferenceSession, path: Path | str) -> None:
    used = session.get_providers()
    if provider.name not in used:
        raise BackendError(
            f"ONNX Runtime opened {path} with {', '.join(used)} instead of {provider.name}, which could not start: "
            f"the NVIDIA driver, CUDA or cuDNN is missing. Check nvidia-smi, then: {provider.install}"
        )
    counted = nodes_by_provider(session)
    if not counted[provider.name]:
        told = ", ".join(f"{name} {count}" for name, count in counted.items()) or "none at all"
        raise BackendError(
            f"{provider.name} takes no node of {path} (nodes: {told}): use --backend onnxrt for it, or export again"
        )
