"""Make what the package ships and loads: `python -m export mannequin ...`, `python -m export pose-model ...`."""

from __future__ import annotations

import importlib
import sys

COMMANDS: dict[tuple[str, ...], str] = {
    ("mannequin", "render"): "export.mannequin.render",
    ("mannequin", "clips"): "export.mannequin.clips",
    ("mannequin", "pack"): "export.mannequin.pack",
    ("mannequin", "train"): "export.mannequin.train",
    ("mannequin", "polish"): "export.mannequin.polish",
    ("mannequin", "train-temporal"): "export.mannequin.temporal_train",
    ("mannequin", "evaluate"): "export.mannequin.evaluate",
    ("mannequin", "bundle"): "export.mannequin.bundle",
    ("mannequin", "demo"): "export.mannequin.demo_clip",
    ("check",): "export.check",
    ("cost",): "export.cost",
    ("full-width",): "export.full_width",
    ("table",): "export.table",
    ("pose-model",): "export.pose_model",
    ("sam",): "export.sam",
}
"""Words of the command line -> module with main(argv) -> exit status; imported only when called."""
SYSTEMS = ("magicanimate", "animate-anyone", "disco", "disco-tm", "dreampose")
"""First words that are a system's name: `python -m export SYSTEM --checkpoint DIR --out engines/NAME`."""


def main(argv: list[str]) -> int:
    """Run the command that argv begins with; exit status 2 for an unknown one."""
    if argv and argv[0] in SYSTEMS:
        return int(importlib.import_module("export.write_bundle_command").main(argv))
    for words, module in COMMANDS.items():
        if tuple(argv[: len(words)]) == words:
            return int(importlib.import_module(module).main(argv[len(words) :]))
    known = "\n  ".join(f"python -m export {' '.join(words)}" for words in (*COMMANDS, *((name,) for name in SYSTEMS)))
    print(f"unknown command {' '.join(argv[:2])!r}; one of:\n  {known}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
