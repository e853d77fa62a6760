"""Make what the package ships and loads: `python -m export mannequin ...`, `python -m export pose-model ...`."""

from __future__ import annotations

import importlib
import sys

COMMANDS: dict[tuple[str, ...], str] = {
    ("mannequin", "render"): "export.mannequin.render",
    ("mannequin", "train"): "export.mannequin.train",
    ("mannequin", "evaluate"): "export.mannequin.evaluate",
    ("mannequin", "bundle"): "export.mannequin.bundle",
    ("mannequin", "demo"): "export.mannequin.demo_clip",
    ("pose-model",): "export.pose_model",
}
"""Words of the command line -> module with main(argv) -> exit status; imported only when called."""


def main(argv: list[str]) -> int:
    """Run the command that argv begins with; exit status 2 for an unknown one."""
    for words, module in COMMANDS.items():
        if tuple(argv[: len(words)]) == words:
            return int(importlib.import_module(module).main(argv[len(words) :]))
    known = "\n  ".join("python -m export " + " ".join(words) for words in COMMANDS)
    print(f"unknown command {' '.join(argv[:2])!r}; one of:\n  {known}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
