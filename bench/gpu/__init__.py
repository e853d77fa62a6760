"""The GPU benchmark; `python -m bench gpu` runs `command.main`."""

from bench.gpu.command import main

__all__ = ["main"]
