"""One line of what `tpc-stream doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    what: str
    good: bool
    detail: str
    mend: str = ""
    """What to do, where it is not good."""
    needed: bool = True
    """Whether the default path needs it."""
