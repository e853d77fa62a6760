"""The denoiser as it is written in `export/systems`, run by torch as it stands: the yardstick of the backend torch.

`python -m bench.gpu.as_written SIZES FOLDER DEVICE SECONDS TOKENS ...`
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bench.gpu.clock import Clock
from bench.gpu.examples import example
from bench.gpu.memory_watch import Times
from bench.gpu.rows import append
from bench.gpu.settings import pass_settings
from bench.gpu.sizes import AS_WRITTEN, FULL, REHEARSAL
from bench.gpu.system import graphs_of, with_weights

PASSES_OF = "denoise"
AT_MOST = 3
"""Numbers of frames."""


def main(argv: list[str]) -> int:
    name, folder, device, seconds, *tokens = argv
    sizes = {"full": FULL, "rehearsal": REHEARSAL}[name]
    process = time.monotonic()
    until = process + float(seconds)
    clock = Clock(device)
    system = with_weights(sizes, "tiny", PASSES_OF, device=device)
    if not sizes.tiny:
        system.half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub has no overload for it alone
    if sizes.tiny:
        torch.set_num_threads(1)
    graph = graphs_of(system, sizes)[PASSES_OF]
    settings = [setting for setting in pass_settings(sizes) if setting.role == PASSES_OF][:AT_MOST]
    for setting in settings:
        if time.monotonic() > until:
            break
        begun = time.monotonic()
        given = example(graph.inputs, setting.axes([int(n) for n in tokens]))
        tensors = {key: torch.from_numpy(array).to(device) for key, array in given.items()}
        if not sizes.tiny:
            halved = [key for key, tensor in tensors.items() if tensor.is_floating_point() and key != "timesteps"]
            tensors |= {key: tensors[key].half() for key in halved}
        timed = clock.time(partial(graph.run, tensors), passes=sizes.passes, warm_ups=2, until=until)
        row = setting.row(f"{AS_WRITTEN}, {'fp32' if sizes.tiny else 'fp16'}")
        row = replace(row, **timed, held_gb=clock.held_gb(), times=Times(process, begun, time.monotonic()))
        append(Path(folder) / "rows.jsonl", row)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
