"""`python -m export check`: our networks against the authors' numbers (--golden) and their key lists (--manifest), our
graphs against what TensorRT takes (--tensorrt)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from export.tensorrt_check import check_tensorrt
from tpc_stream.errors import TpcStreamError

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def main(argv: list[str]) -> int:
    """Prints a line for every output or network; 0 where all agree, 1 where something does not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m export check", description=__doc__)
    parser.add_argument(
        "--golden", type=Path, nargs="+", default=[], metavar="DIR", help="a golden set, or a folder of them"
    )
    parser.add_argument(
        "--manifest", type=Path, nargs="+", default=[], metavar="FILE", help="a list of keys and shapes"
    )
    parser.add_argument(
        "--tensorrt", type=Path, nargs="+", default=[], metavar="DIR", help="bundles whose graphs TensorRT is to take"
    )
    parser.add_argument("--dtype", choices=tuple(DTYPES), help="one precision only; by default both")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    options = parser.parse_args(argv)
    if not options.golden and not options.manifest and not options.tensorrt:
        parser.error("give --golden DIR, --manifest FILE or --tensorrt DIR")
    torch.set_num_threads(options.threads)
    try:
        wrong = check_golden(options.golden, dtypes=[options.dtype] if options.dtype else tuple(DTYPES))
        wrong += check_manifests(options.manifest)
        wrong += check_tensorrt(options.tensorrt)
    except TpcStreamError as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if wrong else 0


def check_golden(folders: Sequence[Path], *, dtypes: Sequence[str]) -> int:
    """How many outputs of all sets are further off than they may be; prints every one."""
    from export.golden.compare import compare
    from export.golden.golden_set import find_sets, read_set

    wrong = 0
    for folder in (found for given in folders for found in find_sets(given)):
        golden = read_set(folder)
        print(f"{golden.system}: {folder}")
        failed, worst = 0, dict.fromkeys(dtypes, 0.0)
        for dtype in dtypes:
            for row in compare(golden, DTYPES[dtype]):
                print(f"  {row}", flush=True)
                failed += not row.passed
                worst[dtype] = max(worst[dtype], row.error / row.tolerance)
        told = ", ".join(f"{dtype}: {share:.2g} of its tolerance" for dtype, share in worst.items())
        print(f"{golden.system}: {'all agree' if not failed else f'{failed} outputs are off'}; the worst {told}\n")
        wrong += failed
    return wrong


def check_manifests(files: Sequence[Path]) -> int:
    """How many keys of all manifests differ from our networks at real width; prints every one."""
    from export.manifest_check import differences

    wrong = 0
    for path in files:
        found = differences(path)
        print(f"{found.system}/{found.network}: {found.summary}")
        for line in found.lines:
            print(f"  {line}")
        wrong += len(found.lines)
    return wrong
