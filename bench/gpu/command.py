"""`python -m bench gpu`: every GPU backend on networks of real width, in under ten minutes, with one command.

Makes AnimateAnyone-shaped bundles of random weights (512x512, Stable Diffusion 1.5's width with motion modules, TAESD
and KL autoencoders), holds each backend against torch in float32, and times graphs and whole loops against what the
card can do at best; then video in and out, in software and by NVDEC and NVENC. Needs this checkout, torch, numpy, onnx
and onnxruntime; a backend whose package is not there is a row that says so, and so is video without PyAV. Without a GPU
it says what is missing and exits with code 3.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from bench.gpu.budget import Budget, Ended, call, start
from bench.gpu.memory_watch import read_readings
from bench.gpu.rows import Ceilings, Row, as_json, read
from bench.gpu.sizes import AS_WRITTEN, CODECS, FULL, REHEARSAL, Sizes
from bench.gpu.table import markdown
from tpc_stream.errors import TpcStreamError
from tpc_stream.plans.find_gpu import find_gpus

EXIT_MISSING = 3
NEEDED = ("torch", "numpy", "onnx", "onnxruntime")
SECONDS = 560
"""Of everything; the rest of ten minutes is for starting and writing."""
WEIGHTS = {
    "trt": 3.0, "tensorrt": 3.0, "compile=on": 3.0, "precision=bf16": 0.5, "channels_last=off": 0.5,
    "precision=fp32": 0.5, AS_WRITTEN: 0.5, CODECS: 1.0,
}  # fmt: skip
"""How much more time than another a backend gets, for what it builds, or less, by a part of its name."""
MAKING = (
    ("denoise:tiny",),
    ("reference:tiny", "tokens:tiny", "pose:tiny", "encode:tiny", "decode:tiny", "encode:kl", "decode:kl"),
)
"""What each process makes; side by side, since most of it is one thread's work."""


class NoDevice(Exception):
    """The GPU is there, and torch cannot use it."""


def main(arguments: list[str]) -> int:
    """0 where the tables were written, 1 where a step of the benchmark itself failed, 3 where something is missing."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.tiny != (options.device == "cpu"):
        parser.error("--device cpu and --tiny go together: networks of real width would take a CPU hours")
    if options.folder is not None and options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"--folder {options.folder} is not empty")
    if options.bundle is not None:
        from bench.gpu.own_bundle import main as own_bundle

        return own_bundle(options)
    sizes = REHEARSAL if options.tiny else FULL
    try:
        card = "the CPU" if options.tiny else str(find_gpus()[0])
    except TpcStreamError as error:
        return _missing([f"no GPU to measure: {error}"])
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        return _missing([f"not installed: {', '.join(lacking)} -> pip install {' '.join(lacking)}"])
    backends = tuple(options.backends or sizes.backends)
    budget = Budget(options.seconds)
    with ExitStack() as opened:
        folder = options.folder or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tpc-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return _run(sizes, card, backends, budget, folder, options.out, opened)
        except NoDevice as error:
            return _missing([str(error)])
        except Ended as error:
            print(f"error: {error}", file=sys.stderr)
            return 1


def _run(
    sizes: Sizes, card: str, backends: tuple[str, ...], budget: Budget, folder: Path, out: Path, opened: ExitStack
) -> int:
    name, device = ("rehearsal", "cpu") if sizes.tiny else ("full", "cuda")
    logs = out / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    print(_title(sizes, card), flush=True)
    try:
        text = call(["bench.gpu.ceilings", device], logs / "ceilings.log", seconds=budget.left)
    except Ended as error:
        raise NoDevice(f"torch cannot use the GPU: {error}") from error
    told = json.loads(text.splitlines()[-1])
    ceilings = Ceilings(told["flops"], told["bytes_per_second"])
    print(f"at best {ceilings.flops / 1e12:.1f} TFLOP/s and {ceilings.bytes_per_second / 1e9:.0f} GB/s", flush=True)
    memory = folder / "memory.txt"
    if device == "cuda":
        watcher = start(["bench.gpu.memory_watch", str(memory), f"{budget.left + 60:.0f}"], logs / "memory.log")
        opened.callback(watcher.stop)
    makers = [
        start(["bench.gpu.making", name, str(folder), device, *group], logs / f"making-{k}.log")
        for k, group in enumerate(MAKING)
    ]
    for maker in makers:
        opened.callback(maker.stop)
    from bench.gpu.making import assemble  # torch, while the others work
    from bench.gpu.system import token_counts
    from bench.gpu.work import Counter

    tokens = token_counts(sizes)
    counter = Counter(sizes, tokens)
    absent = _probed(backends, logs, budget)
    for maker in makers:
        for line in maker.finished(seconds=budget.left).splitlines():
            print(f"  {line}", flush=True)
    assemble(sizes, folder)
    print(f"bundles made after {budget.spent:.0f} s", flush=True)
    jobs = [backend for backend in backends if backend not in absent]
    jobs.insert(min(2, len(jobs)), AS_WRITTEN)
    jobs.append(CODECS)
    extra = []
    for k, job in enumerate(jobs):
        share = budget.left * _weight(job) / sum(map(_weight, jobs[k:]))
        command = ["bench.gpu.worker", name, str(folder), job]
        if job == AS_WRITTEN:
            command = ["bench.gpu.as_written", name, str(folder), device]
        elif job == CODECS:
            command = ["bench.gpu.codecs", name, str(folder)]
        extra.append(_measure(job, command, share, folder, logs, budget, tokens))
    readings = read_readings(memory)
    if device == "cuda" and not readings:
        print(f"peak memory is not measured, see {logs / 'memory.log'}", flush=True)
    rows = [counter.of(row).limited(ceilings).with_peak(readings) for row in read(folder / "rows.jsonl")]
    rows += [row for row in extra if row is not None]
    rows += [Row(kind="absent", backend=backend, what=why) for backend, why in absent.items()]
    versions = {package: _version(package) for package in (*NEEDED, "triton", "tensorrt", "av")}
    text = markdown(_title(sizes, card), told, versions, rows, seconds=budget.spent, rehearsal=sizes.tiny)
    (out / "gpu.md").write_text(text, encoding="utf-8")
    found = {
        "schema": "tpc-stream bench gpu 3", "rehearsal": sizes.tiny, "card": card, "ceilings": told,
        "versions": versions, "seconds": budget.spent, "rows": as_json(rows),
    }  # fmt: skip
    (out / "gpu.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"\n{text}\nwritten: {out / 'gpu.json'}, {out / 'gpu.md'}")
    return 0


def _probed(backends: tuple[str, ...], logs: Path, budget: Budget) -> dict[str, str]:
    """Those that cannot start here, and why."""
    text = call(["bench.gpu.probe", *backends], logs / "probe.log", seconds=budget.left)
    told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {item["backend"]: item["absent"] for item in told if item["absent"]}


def _measure(
    backend: str, command: list[str], share: float, folder: Path, logs: Path, budget: Budget, tokens: list[int]
) -> Row | None:
    """Runs one backend's process for `share` seconds; a row where it did not come to its end."""
    if share < 5:
        return Row(kind="left out", backend=backend, what="no time was left")
    log = logs / ("".join(c if c.isalnum() else "-" for c in backend) + ".log")
    arguments = [*command, f"{share * 0.85:.0f}", *map(str, tokens)]
    before, begun = len(list(read(folder / "rows.jsonl"))), budget.spent
    row = None
    try:
        call(arguments, log, seconds=share)
    except Ended as error:
        row = Row(kind="left out" if error.in_time is False else "absent", backend=backend, what=str(error))
    made = list(read(folder / "rows.jsonl"))[before:]
    absent = [item.what for item in made if item.kind == "absent"]
    told = f"{len(made) - len(absent)} rows" + (f", {len(absent)} absent: {absent[0]}" if absent else "")
    print(f"{backend}: {told if row is None else row.what} ({budget.spent - begun:.0f} s)", flush=True)
    return None if row is None else replace(row, count=len(made) or None)


def _weight(backend: str) -> float:
    return next((weight for part, weight in WEIGHTS.items() if part in backend), 1.5)


def _title(sizes: Sizes, card: str) -> str:
    if sizes.tiny:
        return "REHEARSAL on the CPU with tiny networks: these are no figures of a GPU"
    return f"bench gpu on {card}: random weights, {sizes.pixels}x{sizes.pixels}, Stable Diffusion 1.5's width"


def _missing(lines: list[str]) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    if find_spec("onnxruntime") is not None and find_spec("av") is not None:
        from tpc_stream.doctor_gpu import gpu_findings

        for finding in gpu_findings():
            if not finding.good:
                print(f"  {finding.what}: {finding.detail} -> {finding.mend}".removesuffix(" -> "), file=sys.stderr)
    print("  the same code on the CPU, tiny: python -m bench gpu --device cpu --tiny", file=sys.stderr)
    return EXIT_MISSING


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "onnxruntime-gpu " + _version("onnxruntime-gpu") if package == "onnxruntime" else "not installed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench-gpu"), help="folder for gpu.json, gpu.md and logs")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of everything; what does not fit is left out")
    parser.add_argument("--backends", nargs="+", help="only these; the first is what the others are held against")
    parser.add_argument("--folder", type=Path, help="an empty folder for 8 GB of bundles, kept; default: one that goes")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: tiny networks, with --device cpu")
    parser.add_argument("--bundle", help="instead: a bundle of yours, graph by graph, against ONNX Runtime on the CPU")
    parser.add_argument("--passes", type=int, default=50, help="of --bundle: timed passes of each graph")
    parser.add_argument("--json", type=Path, help="of --bundle: write the rows there")
    return parser
