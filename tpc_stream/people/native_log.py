"""Keep the known chatter of a native library off standard error, and let everything else through."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHATTER = re.compile(
    rb"INFO: Created TensorFlow Lite XNNPACK delegate"
    rb"|WARNING: (All log messages before|Logging before)"
    rb"|^[IW]\d{4} .*(inference_feedback_manager|landmark_projection_calculator|gl_context(_egl)?)\.cc"
)
"""Lines that MediaPipe writes on every healthy start. They say nothing that a user could act on."""

_one_at_a_time = threading.Lock()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Keep what the process writes to file descriptor 2 while the block runs; then pass on all lines but `CHATTER`.

    The native logger has no switch that works before its first line, so the descriptor itself is set aside. Keep the
    block short: other threads' lines come late. Blocks in several threads wait for each other.
    """
    with _one_at_a_time, tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            kept.seek(0)
            for line in kept:
                if not CHATTER.search(line):
                    os.write(2, line)
            os.close(stderr)
