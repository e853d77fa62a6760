"""The program's entry: `tpc-stream`, or `python -m tpc_stream`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being loaded is no traceback either."""
    try:
        from tpc_stream.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
