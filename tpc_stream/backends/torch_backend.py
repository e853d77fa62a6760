"""PyTorch: every bundle's graphs as torch programs, on an NVIDIA GPU or on the CPU.

--backend torch:cuda                        the types that the graph has
--backend torch:cuda,precision=fp16         half precision (or bf16, fp32) whatever the graph says
--backend torch:cuda,compile=on             torch.compile, which takes minutes for each new number of frames
--backend torch:cuda,graphs=on              CUDA graphs: one launch a pass, for small windows and chunks
--backend torch:cuda,channels_last=off      pictures and convolutions in torch's usual layout
--backend torch:cpu                         for comparing; ONNX Runtime is the one for CPUs

Needs torch and onnx. Which GPU: the first that CUDA_VISIBLE_DEVICES leaves. On a GPU never run so far: docs/gpu.md.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import cast

from tpc_stream.backends.torch_settings import TorchSettings
from tpc_stream.engine import Backend, Engine
from tpc_stream.errors import BackendError, InputError
from tpc_stream.manifest import GraphSpec

INSTALL = 'pip install "tpc-stream[torch]"'


class TorchBackend:
    """Opens graphs as torch programs. BackendError at once where torch, onnx or the GPU is missing."""

    name = "torch"

    def __init__(self, settings: TorchSettings, *, threads: int = 0) -> None:
        require_packages()
        from tpc_stream.backends.torch_device import TorchDevice, find_device

        self.settings = settings
        self.device = TorchDevice(find_device(settings.device))
        if threads and settings.device == "cpu":
            import torch

            torch.set_num_threads(threads)

    def open(self, graph: GraphSpec) -> Engine:
        from tpc_stream.backends.torch_engine import TorchEngine

        return cast(Engine, TorchEngine(graph, self.settings, self.device))

    def in_float32(self) -> TorchBackend:
        """The same on the same device, in float32; InputError where it is that already."""
        if self.settings.precision not in ("fp16", "bf16"):
            raise InputError(
                f"the backend torch with precision={self.settings.precision} computes in float32 already: leave "
                "--retry-precision out, or say precision=fp16"
            )
        twin = TorchBackend.__new__(TorchBackend)
        twin.settings, twin.device = replace(self.settings, precision="fp32"), self.device
        return twin

    def describe(self) -> str:
        import torch

        chosen = [f"{self.settings.precision} precision"]
        chosen += [name for name in ("channels_last", "compile", "graphs") if getattr(self.settings, name)]
        return f"PyTorch {torch.__version__}, {self.device.told}, {', '.join(chosen)}"


def require_packages() -> None:
    """BackendError with the command that installs what is not there."""
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        raise BackendError(f"the backend torch needs torch and onnx; not installed: {', '.join(missing)}: {INSTALL}")


def open_backend(*, threads: int, settings: str) -> Backend:
    """`settings`: see `TorchSettings.parse`; `threads` are for torch:cpu, and hold for the whole process."""
    return TorchBackend(TorchSettings.parse(settings), threads=threads)
