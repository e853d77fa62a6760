"""A stretch of a motion that is animated by itself, such as a chunk of a long video."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tpc_stream.bridge import Bridge


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a motion, animated as if it were alone. Ranges of global indices."""

    read: range
    """The frames that are looked at."""
    denoised: range
    """Those of them that pass through the network; of the others, poses and calibrations alone."""
    shown: range
    """Those of them that leave as pictures."""
    bridge: Bridge | None = None
    """Into the part that follows."""


_ALL = range(sys.maxsize)
WHOLE = Part(_ALL, _ALL, _ALL)
"""All of a motion."""
