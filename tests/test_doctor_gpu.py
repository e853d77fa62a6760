"""What doctor says of GPUs, on a machine without one and with stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.stand_in_cuda import Recorded, StandInDriver
from tests.stand_in_tensorrt import stand_in
from tpc_stream import doctor_gpu
from tpc_stream.backends import trt
from tpc_stream.doctor_gpu import gpu_findings
from tpc_stream.errors import BackendError
from tpc_stream.finding import Finding
from tpc_stream.plans import find_gpu
from tpc_stream.plans.cache import PlanCache
from tpc_stream.plans.key import Gpu, PlanKey


def _by_name() -> dict[str, Finding]:
    return {finding.what: finding for finding in gpu_findings()}


def test_what_is_missing_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_driver() -> None:
        raise BackendError(find_gpu.NO_DRIVER)

    monkeypatch.setattr(find_gpu, "load_driver", no_driver)
    monkeypatch.setattr(trt, "find_spec", lambda name: None)
    for name in ("cuda.bindings", "onnxruntime_ep_nv_tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("TPC_PLANS", str(tmp_path))
    found = _by_name()
    assert all(not finding.needed for finding in found.values()), "the default path needs no GPU"
    assert not found["gpu"].good and "libcuda.so.1" in found["gpu"].detail
    assert found["cuda"].mend == "pip install cuda-bindings"
    assert found["tensorrt"].mend == "pip install tensorrt cuda-bindings"
    assert "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13" in found["onnxrt:trt-rtx"].detail
    assert not found["plans"].good and str(tmp_path) in found["plans"].detail
    assert "--hwaccel says whether they are used" in found["hardware codecs"].detail


def test_what_is_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(find_gpu, "load_driver", StandInDriver)
    monkeypatch.setattr(doctor_gpu, "version", lambda name: "10.13.0.35")
    monkeypatch.setenv("TPC_PLANS", str(tmp_path))
    key = PlanKey("a" * 64, (), (), "graph", "10.13.0.35", Gpu("Stand-in GPU", "9.0", "580"))
    PlanCache().find_or_build(key, lambda: b"x" * 2**20)
    with stand_in(Recorded()):
        runtime = sys.modules["cuda.bindings.runtime"]
        vars(runtime)["cudaGetDeviceCount"] = lambda: (runtime.cudaError_t.cudaSuccess, 1)
        found = _by_name()
    assert found["gpu"].good and found["gpu"].detail.startswith("Stand-in GPU, compute capability 9.0")
    assert found["cuda"].good and "1 devices" in found["cuda"].detail
    assert found["tensorrt"].good and found["tensorrt"].detail.startswith("10.13.0.35")
    assert found["plans"].good and "1 for Stand-in GPU, 1 MiB" in found["plans"].detail


def test_type_stubs_are_not_taken_for_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(BackendError, match="is not the library: pip install tensorrt"):
        trt.require_packages()
