"""Which backends can start here at all: `python -m bench.gpu.probe BACKEND ...`, a line of JSON each."""

from __future__ import annotations

import json
import sys

from tpc_stream.backends import open_backend
from tpc_stream.errors import TpcStreamError


def main(argv: list[str]) -> int:
    for backend in argv:
        try:
            open_backend(backend)
        except TpcStreamError as error:
            print(json.dumps({"backend": backend, "absent": str(error)}), flush=True)
        else:
            print(json.dumps({"backend": backend, "absent": ""}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
