"""Our own bars, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.gpu.rows import Row

EAGER = "torch:cuda,precision=fp16"
TENSORRT = ("onnxrt:trt-rtx", "trt:frames=24", "onnxrt:tensorrt")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    what: str
    measured: str = "not measured"
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "NOT met"


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Each bar, met or not by the best backend."""
    loops = [row for row in rows if row.kind == "loop" and row.fps is not None]
    passes = [row for row in rows if row.kind == "pass" and row.p50_ms is not None]
    live = [row for row in loops if row.what == "diagonal" and row.vae == "tiny" and row.tpc]
    denoisers = [row for row in passes if row.what == "denoise" and row.tpc and row.of_matmul is not None]
    checked = [row for row in rows if row.kind == "pass" and row.psnr_db is not None and "fp32" not in row.backend]
    worst = min(checked, key=lambda row: row.psnr_db or 0.0, default=None)
    fp16 = "every graph and picture within 40 dB of torch float32"
    return [
        Bar(fp16) if worst is None else
        Bar(fp16, f"worst {worst.psnr_db:.1f} dB: {worst.backend}, {worst.what}", (worst.psnr_db or 0.0) >= 40),
        _best("50 frames/s, diagonal of 4 steps, TPC, tiny VAE", [r for r in live if r.steps == 4], _fps, 50),
        _best("25 frames/s with room (30), diagonal of 2 steps", [r for r in live if r.steps == 2], _fps, 30),
        _best("half of the matmul ceiling in the denoiser", denoisers, lambda r: r.of_matmul or 0.0, 0.5, share=True),
        _calibration(loops),
        _best(
            "at most 10 % of the time in no engine", [r for r in live if r.outside is not None and r.steps == 4],
            lambda r: -(r.outside or 0.0), -0.1, share=True,
        ),
        _faster(passes),
    ]  # fmt: skip


def _fps(row: Row) -> float:
    return row.fps or 0.0


def _best(what: str, rows: Sequence[Row], value: Callable[[Row], float], bar: float, *, share: bool = False) -> Bar:
    if not rows:
        return Bar(what)
    best = max(rows, key=value)
    found = abs(value(best))
    told = f"{found:.1%}" if share else f"{found:.1f}"
    return Bar(what, f"{told}: {best.backend}, {best.frames} frames", value(best) >= bar)


def _calibration(loops: Sequence[Row]) -> Bar:
    """The same loop with and without, of the fastest backend."""
    what = "calibration adds at most 5 % to a frame"
    off = {(r.backend, r.what, r.vae, r.steps, r.frames): r for r in loops if r.tpc is False}
    pairs = [(r, off[key]) for r in loops if r.tpc and (key := (r.backend, r.what, r.vae, r.steps, r.frames)) in off]
    pairs = [pair for pair in pairs if pair[0].steps == 4]
    if not pairs:
        return Bar(what)
    on, without = max(pairs, key=lambda pair: _fps(pair[0]))
    added = _fps(without) / _fps(on) - 1
    return Bar(what, f"{added:.1%}: {on.backend}, {on.what}, {on.frames} frames, 4 steps", added <= 0.05)


def _faster(passes: Sequence[Row]) -> Bar:
    what = "TensorRT at least 1.5 times PyTorch eager, denoiser"
    eager = {(r.frames, r.tpc): r for r in passes if r.backend == EAGER and r.what == "denoise"}
    pairs = [
        (r, eager[r.frames, r.tpc]) for r in passes
        if r.backend in TENSORRT and r.what == "denoise" and (r.frames, r.tpc) in eager
    ]  # fmt: skip
    if not pairs:
        return Bar(what)
    ratio, row = max(((e.p50_ms or 0.0) / (r.p50_ms or 1.0), r) for r, e in pairs)
    return Bar(what, f"{ratio:.2f}: {row.backend}, {row.frames} frames", ratio >= 1.5)
