"""`python -m bench quality`: how good the pictures are, aligned and misaligned, without and with calibration."""

from bench.quality.command import main

__all__ = ["main"]
