"""`python -m bench memory`: peak memory of a short and a long input, each in a process of its own.

The long input is the short one, repeated by copying its packets. Memory must not follow the length.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import av

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"

# the child prints its own peak: a parent only learns the largest of all its children
CHILD = """
import resource, sys
from tpc_stream.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    code = end.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"peak_kilobytes={peak} exit={code}")
"""


def repeat(source: Path, target: Path, *, seconds: float) -> None:
    """Writes `source` again and again, without encoding anew, until the video lasts `seconds`."""
    with av.open(str(target), "w") as output, av.open(str(source)) as first:
        stream = output.add_stream_from_template(first.streams.video[0])
        duration = first.streams.video[0].duration
        base = first.streams.video[0].time_base
        assert duration is not None and base is not None
        shift = 0
        while float(shift * base) < seconds:
            with av.open(str(source)) as container:
                for packet in container.demux(video=0):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    output.mux(packet)
            shift += duration


def peak_megabytes(reference: str, motion: Path, folder: Path, *, seconds: float, extra: list[str]) -> float:
    """Animates the motion in a process of its own; its peak resident memory."""
    command = [
        sys.executable, "-c", CHILD, "animate", "--reference", reference, "--motion", str(motion),
        "--out", str(folder / f"{seconds:g}.mp4"), "--overwrite", "--end", str(seconds), *extra,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    last = done.stdout.strip().splitlines()[-1]
    if not last.endswith("exit=0"):
        raise RuntimeError(f"{' '.join(command)} failed: {last}\n{done.stderr}")
    return int(last.split("=")[1].split()[0]) / 1024


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", type=Path, default=ASSETS / "demo_motion.mp4")
    parser.add_argument("--short", type=float, default=10.0, help="seconds")
    parser.add_argument("--long", type=float, default=600.0, help="seconds")
    choices, extra = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat(choices.motion, folder / "long.mp4", seconds=choices.long)
        peaks = [
            peak_megabytes(choices.reference, folder / "long.mp4", folder, seconds=seconds, extra=extra)
            for seconds in (choices.short, choices.long)
        ]
    print(
        f"{choices.short:g} s: {peaks[0]:.0f} MB    {choices.long:g} s: {peaks[1]:.0f} MB    {peaks[1] / peaks[0]:.3f}x"
    )
    return 0
