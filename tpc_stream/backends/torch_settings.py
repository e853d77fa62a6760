"""What follows the colon of `--backend torch:`; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from tpc_stream.errors import InputError

Kind = Literal["cuda", "cpu"]
Precision = Literal["graph", "fp32", "fp16", "bf16"]
_FORM = (
    f"torch:cuda or torch:cpu, then precision={'|'.join(get_args(Precision))}, channels_last=, compile=, graphs=on|off"
)
_SWITCH = {"on": True, "1": True, "off": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSettings:
    """What follows the colon."""

    device: Kind
    precision: Precision = "graph"
    """graph: each tensor has the type that the graph gives it; the others are for everything that is computed."""
    channels_last: bool = True
    """Whether convolutions keep a pixel's channels together, which tensor cores want."""
    compile: bool = False
    """Whether torch.compile makes kernels of its own."""
    graphs: bool = False
    """Whether a pass is recorded once and played, so that the host launches one thing and not two thousand."""

    @classmethod
    def parse(cls, text: str) -> TorchSettings:
        """From "cuda,precision=fp16,graphs=1". InputError for another form."""
        device, *parts = text.split(",")
        if device not in get_args(Kind):
            raise InputError(f"the backend torch is {_FORM}; got {text!r}")
        chosen: dict[str, object] = {"device": device}
        switches = {field.name for field in fields(cls)} - {"device", "precision"}
        for part in parts:
            name, _, value = part.partition("=")
            if name == "precision" and value in get_args(Precision):
                chosen[name] = value
            elif name in switches and value in _SWITCH:
                chosen[name] = _SWITCH[value]
            else:
                raise InputError(f"the backend torch is {_FORM}; got {part!r}")
        if chosen.get("graphs") and device == "cpu":
            raise InputError("graphs=on is of torch:cuda: a CPU has no CUDA graphs")
        return cls(**chosen)  # type: ignore[arg-type]
