"""The GPU benchmark without a GPU: what it says, and its rows on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import gpu
from bench.__main__ import main
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
    assert "no GPU to measure: no NVIDIA driver" in told and "pip install" in told


def test_rows_and_absent_backends(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the CPU: it must agree with itself, and a backend that is not there is a row."""
    monkeypatch.setattr(find_gpu, "load_driver", StandInDriver)
    written = tmp_path / "gpu.json"
    options = ["--bundle", str(tiny), "--passes", "2", "--json", str(written), "--backends", "onnxrt", "onnxrt:x"]
    with pytest.raises(SystemExit):
        gpu.main(["--passes", "many"])
    assert gpu.main(options) == 0
    found = json.loads(written.read_text())
    assert found["card"].startswith("Stand-in GPU")
    assert [row["role"] for row in found["rows"]][-1] == "-" and "no provider 'x'" in found["rows"][-1]["absent"]
    assert all(row["psnr_db"] == 200 and row["p50_ms"] > 0 for row in found["rows"][:-1])
    assert "| onnxrt:x | not measured |" in capsys.readouterr().out


def test_psnr() -> None:
    expected = np.array([0.0, 1.0])
    assert gpu.psnr(expected, expected + 0.1) == pytest.approx(20)
