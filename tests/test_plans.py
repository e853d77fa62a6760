"""The cache of plans: keys, shapes, locks, unfinished builds, and what is refused. Needs no TensorRT."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tpc_stream.bundle import DEFAULT_BUNDLE, open_bundle
from tpc_stream.errors import BackendError, InputError
from tpc_stream.manifest import GraphSpec, TensorSpec
from tpc_stream.plans.cache import PlanCache, default_folder
from tpc_stream.plans.key import Gpu, PlanKey
from tpc_stream.plans.shapes import ProfileShape, profile_shapes

SPAWN = multiprocessing.get_context("spawn")
H200 = Gpu("NVIDIA H200", "9.0", "580.65.06")
KEY = PlanKey("a" * 64, ("b" * 64,), ("latents 1x4 to 8x4, usually 8x4",), "graph", "10.13.0.35", H200)


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, graph="c" * 64),
        replace(KEY, weights=("c" * 64,)),
        replace(KEY, weights=()),
        replace(KEY, shapes=("latents 1x4 to 16x4, usually 8x4",)),
        replace(KEY, precision="fp16"),
        replace(KEY, tensorrt="11.0.0"),
        replace(KEY, gpu=replace(H200, name="NVIDIA H100")),
        replace(KEY, gpu=replace(H200, compute_capability="10.0")),
        replace(KEY, gpu=replace(H200, driver="580.65.07")),
    ],
)
def test_a_plan_made_for_anything_else_is_not_found(tmp_path: Path, other: PlanKey) -> None:
    cache = PlanCache(tmp_path)
    cache.find_or_build(KEY, lambda: b"plan")
    assert cache.find(other) is None
    found = cache.find(replace(KEY))
    assert found is not None and found.data == b"plan" and not found.new


def test_the_key_is_the_graphs_hashes_and_shapes() -> None:
    graph = GraphSpec("decode", Path("x.onnx"), "1" * 64, (), (), ((Path("x.data"), "2" * 64),))
    shapes = (ProfileShape("latents", (1, 4), (8, 4), (8, 4)),)
    key = PlanKey.of(graph, shapes, precision="graph", tensorrt="10.13.0.35", gpu=H200)
    assert (key.graph, key.weights) == ("1" * 64, ("2" * 64,))
    assert key.shapes == ("latents 1x4 to 8x4, usually 8x4",)


def test_shapes_of_the_default_bundle() -> None:
    manifest = open_bundle(DEFAULT_BUNDLE).manifest
    shapes = {shape.name: shape for shape in profile_shapes(manifest, manifest.graphs["denoise"], frames=16)}
    assert shapes["latents"] == ProfileShape("latents", (1, 16, 32, 32), (8, 16, 32, 32), (16, 16, 32, 32))
    assert shapes["reference_04"] == ProfileShape("reference_04", (1, 0, 64), (1, 384, 64), (1, 384, 64))
    assert shapes["calibrated_01"] == ProfileShape("calibrated_01", (1, 0, 128), (2, 64, 128), (16, 64, 128))
    assert shapes["calibrated_index"] == ProfileShape("calibrated_index", (1,), (8,), (16,))
    assert shapes["latents"].holds((3, 16, 32, 32)) and not shapes["latents"].holds((17, 16, 32, 32))
    assert shapes["reference_04"].holds((1, 0, 64)) and not shapes["reference_04"].holds((1, 64))
    (latents,) = profile_shapes(manifest, manifest.graphs["decode"])
    assert latents.largest == (8, 16, 32, 32), "the bundle's window where nothing is said"
    few = profile_shapes(manifest, manifest.graphs["decode"], frames=2)[0]
    assert few.usual == few.largest == (2, 16, 32, 32)


def test_features_of_open_length_have_a_token_a_cell_at_most(tiny: Path) -> None:
    manifest = open_bundle(tiny).manifest
    reference = manifest.graphs["reference"]
    features = tuple(replace(tensor, shape=("N", "T", tensor.shape[2])) for tensor in reference.outputs)
    graphs = {**manifest.graphs, "reference": replace(reference, outputs=features)}
    shapes = profile_shapes(replace(manifest, graphs=graphs), manifest.graphs["denoise"])
    (calibrated,) = (shape for shape in shapes if shape.name == "calibrated_00")
    assert (calibrated.smallest, calibrated.usual, calibrated.largest) == ((1, 0, 4), (2, 64, 4), (8, 64, 4))


def test_an_axis_without_a_length_is_named(tiny: Path) -> None:
    manifest = open_bundle(tiny).manifest
    graph = replace(manifest.graphs["decode"], inputs=(TensorSpec("latents", "float32", ("F", "K")),))
    with pytest.raises(BackendError, match="how long axis 'K' of latents can be"):
        profile_shapes(manifest, graph)
    with pytest.raises(InputError, match="got -1"):
        profile_shapes(manifest, graph, frames=-1)


def _build_slowly(folder: Path, built: Path, number: int, together: Barrier) -> None:
    def build() -> bytes:
        (built / str(number)).touch()
        time.sleep(0.3)
        return b"plan"

    together.wait(20)
    assert PlanCache(folder).find_or_build(KEY, build).data == b"plan"


def test_two_processes_build_once(tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    together = SPAWN.Barrier(2)
    workers = [SPAWN.Process(target=_build_slowly, args=(tmp_path / "plans", built, k, together)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list(built.iterdir())) == 1


def _build_and_die(folder: Path) -> None:
    def build() -> bytes:
        (folder / f"{KEY.digest}.plan.x.part").write_bytes(b"half a pl")
        os._exit(9)

    PlanCache(folder).find_or_build(KEY, build)


def test_a_build_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    worker = SPAWN.Process(target=_build_and_die, args=(tmp_path,))
    worker.start()
    worker.join(20)
    assert worker.exitcode == 9
    cache = PlanCache(tmp_path)
    assert cache.find(KEY) is None
    assert cache.find_or_build(KEY, lambda: b"whole").data == b"whole"
    assert not list(tmp_path.glob("*.part"))


def test_a_plan_whose_record_was_never_written_is_built_again(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.find_or_build(KEY, lambda: b"old")
    (tmp_path / f"{KEY.digest}.json").unlink()
    assert cache.find(KEY) is None
    assert cache.find_or_build(KEY, lambda: b"new").data == b"new"


def test_a_build_that_fails_keeps_nothing(tmp_path: Path) -> None:
    def fails() -> bytes:
        raise BackendError("no memory")

    with pytest.raises(BackendError, match="no memory"):
        PlanCache(tmp_path).find_or_build(KEY, fails)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_changed_plan_is_refused(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    path = cache.find_or_build(KEY, lambda: b"plan").path
    path.write_bytes(b"evil")
    with pytest.raises(BackendError, match=r"not the plan that was recorded.*delete it"):
        cache.find(KEY)
    with pytest.raises(BackendError, match="not the plan that was recorded"):
        cache.find_or_build(KEY, lambda: b"plan")


def test_a_record_of_another_key_is_refused(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    other = replace(KEY, precision="fp16")
    for kind in ("plan", "json"):
        cache.find_or_build(other, lambda: b"plan")
        (tmp_path / f"{other.digest}.{kind}").rename(tmp_path / f"{KEY.digest}.{kind}")
    with pytest.raises(BackendError, match="not the plan that was recorded"):
        cache.find(KEY)
    (tmp_path / f"{KEY.digest}.json").write_text("{")
    with pytest.raises(BackendError, match="is no record of a plan"):
        cache.find(KEY)


@pytest.mark.parametrize("what", ["plan", "json", "folder"])
def test_what_others_may_write_is_refused(tmp_path: Path, what: str) -> None:
    cache = PlanCache(tmp_path)
    cache.find_or_build(KEY, lambda: b"plan")
    path = tmp_path if what == "folder" else tmp_path / f"{KEY.digest}.{what}"
    path.chmod(path.stat().st_mode | 0o022)
    with pytest.raises(BackendError, match=r"may be written by others.*chmod go-w"):
        cache.find(KEY)


def test_how_long_it_took_before_is_known(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    assert cache.seconds_before(KEY) is None
    cache.find_or_build(replace(KEY, tensorrt="10.0"), lambda: b"plan")
    record = tmp_path / f"{replace(KEY, tensorrt='10.0').digest}.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"build_seconds": 93.5}))
    (tmp_path / "x.json").write_text("[]")
    assert cache.seconds_before(KEY) == 93.5
    assert cache.seconds_before(replace(KEY, graph="d" * 64)) is None


def test_where_plans_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TPC_PLANS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "tpc-stream" / "plans"
    monkeypatch.setenv("TPC_PLANS", str(tmp_path / "mine"))
    assert PlanCache().folder == tmp_path / "mine"
    monkeypatch.setenv("TPC_PLANS", "/dev/null/plans")
    with pytest.raises(BackendError, match=r"cannot read /dev/null/plans.*TPC_PLANS"):
        PlanCache().find_or_build(KEY, lambda: b"plan")
