"""tpc-stream: streaming human image animation with Test-time Procrustes Calibration.

import tpc_stream

for frame in tpc_stream.animate("person.png", "dance.mp4"):
    show(frame.image)  # HWC RGB uint8
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tpc_stream.errors import TpcStreamError
    from tpc_stream.frame import AnimatedFrame, Body, Calibration, Frame, Portrait, Similarity
    from tpc_stream.options import AnimateOptions
    from tpc_stream.pipeline import Animator, animate

__all__ = [
    "AnimateOptions",
    "AnimatedFrame",
    "Animator",
    "Body",
    "Calibration",
    "Frame",
    "Portrait",
    "Similarity",
    "TpcStreamError",
    "animate",
]

_HOMES = {
    "AnimateOptions": "options",
    "AnimatedFrame": "frame",
    "Animator": "pipeline",
    "Body": "frame",
    "Calibration": "frame",
    "Frame": "frame",
    "Portrait": "frame",
    "Similarity": "frame",
    "TpcStreamError": "errors",
    "animate": "pipeline",
}


def __getattr__(name: str) -> Any:
    # looked up on first use: `import tpc_stream.procrustes` must not wait for the engines and the estimator
    if name not in _HOMES:
        raise AttributeError(f"module 'tpc_stream' has no attribute {name!r}")
    return getattr(import_module(f"tpc_stream.{_HOMES[name]}"), name)
