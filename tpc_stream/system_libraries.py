"""The system libraries that the wheels load and do not bring; imports nothing that could need them.

Run as `python -m tpc_stream.system_libraries` before anything is installed: exit code 1 and the command that
installs what is missing.
"""

from __future__ import annotations

import ctypes
import sys

SYSTEM_LIBRARIES: dict[str, str] = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
}
"""Library and its Debian and Ubuntu package: OpenCV loads the first two, MediaPipe the others."""


def is_there(library: str) -> bool:
    """Whether the dynamic loader finds it."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_packages(libraries: dict[str, str] = SYSTEM_LIBRARIES) -> list[str]:
    """The packages of the libraries that are not there, in order."""
    return [package for library, package in libraries.items() if not is_there(library)]


def install_command(packages: list[str]) -> str:
    """What a user of Debian or Ubuntu types to install them."""
    return f"sudo apt-get install -y {' '.join(packages)}"


def main() -> int:
    missing = missing_packages()
    if sys.platform == "linux" and missing:
        print(f"missing system libraries; install them with: {install_command(missing)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
