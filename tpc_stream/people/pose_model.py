"""The pose estimator's model file: where it lies, and the proof that it is the one this package was tested with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tpc_stream.errors import PoseError

MODEL_PATH = Path(__file__).parent.parent / "assets" / "pose_landmarker_full.task"
"""BlazePose GHUM full: a person detector and a network for 33 points and a mask (from MediaPipe, Apache-2.0)."""
MODEL_SHA256 = "2900cf6c13a8be7a9ded368c353f8ae0b7a27032df5d090cb451edef3343727d"
REMAKE = "make it again with `python -m export pose-model`, or install tpc-stream again"


def read_model(path: Path) -> bytes:
    """The bytes of the model file at `path`. Errors: PoseError where it is missing or not the known one."""
    try:
        model = path.read_bytes()
    except OSError as error:
        raise PoseError(f"the pose model {path} cannot be read ({error.strerror}); {REMAKE}") from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != MODEL_SHA256:
        raise PoseError(f"the pose model {path} has sha256 {digest}, not {MODEL_SHA256}; {REMAKE}")
    return model
