"""The GPU benchmark without a GPU: what it says, its parts, and (slow) all of it as a rehearsal on the CPU."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.gpu import command
from bench.gpu.bars import EAGER, bars
from bench.gpu.budget import ROOT, Budget, Ended, call, start
from bench.gpu.examples import example, psnr
from bench.gpu.rows import Ceilings, Row, append, percentiles, read
from bench.gpu.settings import checked_axes, loop_settings, pass_settings
from bench.gpu.sizes import FULL, REHEARSAL
from bench.gpu.table import markdown
from tests.stand_in_cuda import StandInDriver
from tpc_stream.errors import BackendError
from tpc_stream.plans import find_gpu


def test_without_a_gpu_it_exits_3_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_driver() -> None:
        raise BackendError(find_gpu.NO_DRIVER)

    monkeypatch.setattr(find_gpu, "load_driver", no_driver)
    assert main(["gpu"]) == 3
    told = capsys.readouterr().err
    assert "no GPU to measure: no NVIDIA driver" in told and "pip install" in told and "--device cpu --tiny" in told


def test_options_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "something").touch()
    for options, told in (
        (["--tiny"], "go together"),
        (["--device", "cpu"], "go together"),
        (["--folder", str(tmp_path)], "is not empty"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["gpu", *options])
        assert left.value.code == 2 and told in capsys.readouterr().err


def test_without_a_package_it_exits_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(find_gpu, "load_driver", StandInDriver)
    monkeypatch.setattr(command, "NEEDED", ("numpy", "no_such_package"))
    assert command.main([]) == 3
    assert "not installed: no_such_package -> pip install no_such_package" in capsys.readouterr().err


def test_a_bundle_of_ones_own_and_absent_backends(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the CPU: it must agree with itself, and a backend that is not there is a row."""
    monkeypatch.setattr(find_gpu, "load_driver", StandInDriver)
    written = tmp_path / "gpu.json"
    options = ["--bundle", str(tiny), "--passes", "2", "--json", str(written), "--backends", "onnxrt", "onnxrt:x"]
    with pytest.raises(SystemExit):
        main(["gpu", "--passes", "many"])
    assert main(["gpu", *options]) == 0
    found = json.loads(written.read_text())
    assert found["card"].startswith("Stand-in GPU")
    assert [row["role"] for row in found["rows"]][-1] == "-" and "no provider 'x'" in found["rows"][-1]["absent"]
    assert all(row["psnr_db"] == 200 and row["p50_ms"] > 0 for row in found["rows"][:-1])
    assert "| onnxrt:x | not measured |" in capsys.readouterr().out


def test_psnr() -> None:
    expected = np.array([0.0, 1.0])
    assert psnr(expected, expected + 0.1) == pytest.approx(20)
    assert psnr(expected, expected) == 200


def test_examples_do_not_depend_on_each_other() -> None:
    alone = example({"latents": ("F", 4, 2, 2)}, {"F": 3})
    both = example({"context": (1, 1, 8), "latents": ("F", 4, 2, 2), "calibrated_index": ("F",)}, {"F": 3, "U": 2})
    np.testing.assert_array_equal(alone["latents"], both["latents"])
    assert both["calibrated_index"].tolist() == [0, 1, 0]


def test_what_is_checked_is_what_is_timed_first() -> None:
    """So that a compiled backend compiles one shape of the denoiser for both, and for the live loop."""
    tokens = [16, 4]
    for sizes in (FULL, REHEARSAL):
        first = next(pass_settings(sizes))
        assert first.role == "denoise" and first.axes(tokens) == checked_axes(sizes, tokens)
        loop = next(loop_settings(sizes))
        assert (loop.schedule, loop.tpc, loop.steps, loop.frames) == ("diagonal", True, max(sizes.steps), 1)
    assert len(list(loop_settings(FULL))) == 2 * 3 * 3 * 2 + 2
    assert FULL.largest == 24, "plans of --backend trt:frames=24 hold every pass"


def test_shares_of_the_limit() -> None:
    ceilings = Ceilings(flops=2e12, bytes_per_second=1e11)
    row = Row(kind="pass", backend="b", work=(1e9, 5e8), p50_ms=10.0).limited(ceilings)
    assert row.of_matmul == pytest.approx(0.1), "2e9 operations take 1 ms of 10"
    assert row.of_limit == pytest.approx(0.5), "5e8 bytes take 5 ms of 10"
    assert Row(kind="pass", backend="b").limited(ceilings).of_limit is None


def test_rows_outlive_their_process(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = Row(kind="pass", backend="b", what="pose", work=(1.0, 2.0), **percentiles([0.001, 0.002]))
    append(path, row)
    with path.open("a") as file:
        file.write('{"kind": "pass", "ba')
    assert list(read(path)) == [row]
    assert not list(read(tmp_path / "none"))


def test_processes_end_in_time(tmp_path: Path) -> None:
    with pytest.raises(Ended, match=r"ended with 1:.*No module named no_such_module") as failed:
        call(["no_such_module"], tmp_path / "a.log", seconds=60)
    assert failed.value.in_time
    started = start(["http.server", "0", "--bind", "127.0.0.1"], tmp_path / "b.log")
    with pytest.raises(Ended, match="not done after 0 s") as late:
        started.finished(seconds=0.05)
    assert not late.value.in_time and started.process.poll() is not None
    assert 0 < Budget(60).left <= 60 and Budget(0).left == 0


def test_bars_and_table() -> None:
    assert all(bar.measured == "not measured" and bar.met is None for bar in bars([]))
    live = Row(
        kind="loop", backend="trt", what="diagonal", vae="tiny", steps=4, frames=1, tpc=True, fps=60.0, outside=0.2
    )
    rows = [
        live, replace(live, tpc=False, fps=66.0),
        Row(kind="pass", backend=EAGER, what="denoise", frames=8, tpc=True, p50_ms=30.0, of_matmul=0.4, psnr_db=50.0),
        Row(kind="pass", backend="trt:frames=24", what="denoise", frames=8, tpc=True, p50_ms=15.0, of_matmul=0.8,
            psnr_db=30.0),
        Row(kind="absent", backend="onnxrt:cuda", what="not there"),
        Row(kind="left out", backend="trt", what="window", vae="kl", steps=4, frames=16, tpc=True),
    ]  # fmt: skip
    verdicts = [bar.verdict for bar in bars(rows)]
    assert verdicts == ["NOT met", "met", "", "met", "NOT met", "NOT met", "met"]
    told = {"flops": 7e14, "bytes_per_second": 4e12}
    text = markdown("bench gpu on a card", told, {"torch": "2"}, rows, seconds=500, rehearsal=False)
    assert "700.00 TFLOP/s" in text and "| 2.00: trt:frames=24, 8 frames | met |" in text
    assert "- onnxrt:cuda, not there" in text and "- trt, window, kl VAE, 4 steps, 16 frames, TPC on" in text
    assert "| bar |" not in markdown("REHEARSAL", told, {}, rows, seconds=1, rehearsal=True)


def imported(module: str, seen: dict[str, str]) -> None:
    """Adds every module that importing `module` imports, with who imports it; what a function imports is left out."""
    path = ROOT.joinpath(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not source.is_file():
        return
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name not in seen:
                seen[name] = module
                imported(name, seen)


def test_nothing_that_a_gpu_machine_may_lack_is_imported() -> None:
    """torch, numpy, onnx and onnxruntime are enough."""
    seen: dict[str, str] = {}
    steps = (
        "command", "worker", "making", "as_written", "work", "ceilings", "probe", "codecs", "memory_watch",
    )  # fmt: skip
    backends = ("torch_backend", "torch_engine", "torch_graphs", "onnxrt", "onnxrt_gpu")
    for module in (*(f"bench.gpu.{name}" for name in steps), *(f"tpc_stream.backends.{name}" for name in backends)):
        imported(module, seen)
    roots = {name.split(".")[0] for name in seen}
    assert {"torch", "onnx", "onnxruntime", "numpy", "export", "tpc_stream"} <= roots, "the search finds what there is"
    lacking = {"av", "cv2", "mediapipe", "numba", "diffusers", "transformers", "safetensors", "rich", "typer", "PIL"}
    assert not {name: by for name, by in seen.items() if name.split(".")[0] in lacking}


@pytest.mark.slow
def test_rehearsal(tmp_path: Path) -> None:
    assert main(["gpu", "--device", "cpu", "--tiny", "--out", str(tmp_path), "--seconds", "1500"]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["rehearsal"] and "these are no figures of a GPU" in (tmp_path / "gpu.md").read_text()
    rows = found["rows"]
    for backend in ("torch:cpu,precision=fp32", "onnxrt"):
        mine = [row for row in rows if row["backend"] == backend]
        assert {row["what"] for row in mine} >= {"denoise", "decode", "window", "diagonal"}
        assert all(row["psnr_db"] > 100 for row in mine if row["kind"] == "pass" and row["what"] != "pictures")
    absent = {row["backend"] for row in rows if row["kind"] == "absent"}
    assert absent - {"NVENC", "NVDEC"} == {"onnxrt:cuda", "torch:cuda"}
    assert len([row for row in rows if row["kind"] == "codec" and row["backend"] == "software"]) == 4
    assert not any("peak_gb" in row or "times" in row for row in rows), "a CPU has no memory of a GPU"
    assert any(row["backend"].startswith("as written") for row in rows)
