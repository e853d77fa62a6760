"""A GPU for each worker: what the workers' environment says, which needs none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.frail_worker import SEEN, noting_work
from tests.made_job import job_spec
from tests.test_crew import chunks_of
from tpc_stream.errors import InputError
from tpc_stream.job.crew import make_together
from tpc_stream.job.devices import ORDER, VISIBLE, environment, read_devices, uses_gpu, variables_of
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.run_job import JobConfig, run_job


def test_each_worker_sees_its_own_before_anything_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    folder = JobFolder(tmp_path / "out.mp4.tpc")
    folder.path.mkdir()
    chunks = chunks_of(range(40), chunk_frames=12)
    list(make_together(folder, chunks, workers=2, threads=1, retries=0, devices=("0", "1"), work=noting_work))
    noted = sorted(path.read_text() for path in folder.path.glob("seen_*"))
    assert noted == ["0 PCI_BUS_ID", "1 PCI_BUS_ID"]
    assert VISIBLE not in os.environ and SEEN.startswith("None")


def test_numbers_count_among_those_that_are_visible() -> None:
    assert variables_of("1", {VISIBLE: "4,7", ORDER: "FASTEST_FIRST"}) == {VISIBLE: "7", ORDER: "FASTEST_FIRST"}
    assert variables_of("1", {}) == {VISIBLE: "1", ORDER: "PCI_BUS_ID"}
    assert variables_of("GPU-3f1a", {VISIBLE: "4,7"})[VISIBLE] == "GPU-3f1a"
    with pytest.raises(InputError, match="there is no GPU 2: CUDA_VISIBLE_DEVICES=4,7 leaves 2"):
        variables_of("2", {VISIBLE: "4,7"})
    with pytest.raises(InputError, match="leaves 0"):
        variables_of("0", {VISIBLE: ""})


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "3")
    monkeypatch.delenv(ORDER, raising=False)
    with environment({VISIBLE: "1", ORDER: "PCI_BUS_ID"}):
        assert (os.environ[VISIBLE], os.environ[ORDER]) == ("1", "PCI_BUS_ID")
    assert os.environ[VISIBLE] == "3" and ORDER not in os.environ


@pytest.mark.parametrize("text", ["", "0,,1", "0,one", "-1", "0,0"])
def test_what_names_no_gpu_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--devices"):
        read_devices(text)
    assert read_devices("0, 1") == ("0", "1") and read_devices(None) == ()


def test_only_backends_of_gpus_take_them(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    backends = ("onnxrt", "simulated:denoise=2", "trt:frames=8", "onnxrt:cuda", "onnxrt:trt-rtx,fp16=1")
    assert [uses_gpu(name) for name in backends] == [False, False, True, True, True]
    spec = job_spec(tiny, reference, motion, tmp_path / "out.mp4")
    with pytest.raises(InputError, match="the backend onnxrt computes on the CPU"):
        next(iter(run_job(spec, config=JobConfig(workers=2, devices=("0", "1")))))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="2 devices for 1 workers"):
        JobConfig(workers=1, devices=("0", "1"))
    assert JobConfig(devices=("0",)).apart and not JobConfig().apart
