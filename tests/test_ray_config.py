"""What a chunk needs of a cluster, what has no cluster, and files that travel: without a Ray."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_job import job_spec
from tests.test_job_command import animate, call
from tpc_stream.cluster import depot
from tpc_stream.cluster.connection import check_head
from tpc_stream.cluster.depot import Depot
from tpc_stream.cluster.entry import code_digest, enter
from tpc_stream.cluster.luggage import as_objects, in_shared, places
from tpc_stream.cluster.on_ray import on_ray
from tpc_stream.cluster.ray_config import ChunkNeeds, RayConfig, chunk_needs
from tpc_stream.cluster.ray_crew import RayCrew
from tpc_stream.errors import ClusterError, InputError, SinkError, SourceError
from tpc_stream.job.run_job import JobConfig
from tpc_stream.job.spec import JobSpec

GIB = 1 << 30


def node(cpus: float, gpus: float = 0, memory: float = 64 * GIB, alive: bool = True) -> dict[str, object]:
    resources = {"CPU": cpus, "memory": memory} | ({"GPU": gpus} if gpus else {})
    return {"Alive": alive, "Resources": resources}


@pytest.fixture
def spec(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> JobSpec:
    return job_spec(tiny, reference, motion, tmp_path / "out.mkv")


def test_room_is_what_fits_each_node() -> None:
    needs = ChunkNeeds(cpus=2, gpus=1, memory_bytes=8 * GIB)
    assert str(needs) == "2 CPU, 1 GPU, 8.0 GiB of memory"
    assert needs.room([node(16, 2), node(16), node(5, 8), node(16, 8, 20 * GIB), node(9, 9, alive=False)]) == 6
    assert ChunkNeeds(cpus=1, gpus=0, memory_bytes=0).room([node(3), node(0)]) == 3


def test_a_chunk_asks_for_its_threads_a_gpu_and_memory(spec: JobSpec) -> None:
    def needs(backend: str, threads: int, **config: object) -> ChunkNeeds:
        asked = replace(spec, options=replace(spec.options, backend=backend, threads=threads))
        return chunk_needs(asked, RayConfig(**{"address": "head:6379", **config}))  # type: ignore[arg-type]

    assert needs("onnxrt", 3).cpus == 3 and needs("onnxrt", 3).gpus == 0
    assert needs("onnxrt:cuda", 0).gpus == 1 and needs("trt", 0).cpus == 1
    assert GIB < needs("onnxrt", 0).memory_bytes < 1.1 * GIB
    assert needs("onnxrt", 0, address="local").memory_bytes == 0
    assert needs("onnxrt", 0, memory_bytes=5).memory_bytes == 5


class Empty:
    """A Ray whose nodes are gone."""

    def nodes(self) -> list[dict[str, object]]:
        return [node(1, memory=GIB // 2)]


def test_a_cluster_without_room_is_told_in_the_end() -> None:
    needs = ChunkNeeds(cpus=1, gpus=0, memory_bytes=GIB)
    crew = RayCrew(Empty(), RayConfig(address="head:6379", room_seconds=0.05), needs)
    assert crew.room() == 0 and crew._limit() == 1  # one waits, so that an autoscaler sees it
    time.sleep(0.06)
    with pytest.raises(ClusterError, match=r"has room for a chunk \(1 CPU, 1.0 GiB of memory\)"):
        crew._limit()


@pytest.mark.parametrize(
    ("address", "message"), [("", "needs HOST:PORT"), ("ray://head:10001", "of the Ray client"), ("ok", "1 or more")]
)
def test_a_config_that_makes_no_sense(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RayConfig(address=address, workers=0)


@contextmanager
def listener(answer: bytes) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(100)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_what_answers_is_a_head_or_none() -> None:
    with listener(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:
        check_head(address)
    with listener(b"HTTP/1.1 400 Bad Request\r\n") as address:
        with pytest.raises(ClusterError, match="is no Ray head"):
            check_head(address)
    with pytest.raises(ClusterError, match=r"no Ray head answers at 127\.0\.0\.1:1 \(Connection refused"):
        check_head("127.0.0.1:1")
    for address in ("head", "head:", ":6379", "head:99999"):
        with pytest.raises(InputError, match="needs HOST:PORT"):
            check_head(address)


def test_without_ray_its_installation_is_named(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    assert animate(tiny, reference, motion, tmp_path / "out.mp4", "--ray", "auto") == 2
    assert "pip install 'tpc-stream[ray]'" in capsys.readouterr().err


def test_options_that_do_not_go_together(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, spec: JobSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    assert animate(tiny, reference, motion, tmp_path / "out.mp4", "--store", "object") == 2
    assert "add --ray" in capsys.readouterr().err
    config = JobConfig(workers=2, devices=("0", "1"))
    with pytest.raises(InputError, match="Ray chooses the GPUs"):
        list(on_ray(lambda ours: iter(()), spec, ray=RayConfig(address="local"), config=config))
    assert call("resume", tmp_path / "none.tpc", "--ray", "local") == 2
    assert "there is no job" in capsys.readouterr().err


def test_another_code_is_refused_before_anything_is_imported() -> None:
    [(kind, error, text)] = enter({"code": "f" * 64, "version": "9.9"}, [0])
    assert (kind, error) == ("failed", "InputError")
    assert f"has another tpc-stream (code {code_digest()[:12]}, the job's is ffffffffffff)" in text and "9.9" in text


def test_files_travel_in_pieces_and_arrive_whole(
    spec: JobSpec, tmp_path: Path, tiny: Path, motion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tpc_stream.cluster.luggage.PIECE_BYTES", 100_000)
    store: list[bytes] = []
    packed = as_objects(spec, lambda piece: store.append(piece) or len(store) - 1)
    assert len(store) > len(packed) > 3
    ours = Depot("ours", root=tmp_path / "node")
    arrived = places([file["name"] for file in packed], ours.fill(packed, store.__getitem__))
    assert Path(arrived["motion"]).read_bytes() == motion.read_bytes()
    assert sorted(path.name for path in Path(arrived["bundle"]).iterdir()) == sorted(p.name for p in tiny.iterdir())
    ours.fill(packed, lambda piece: pytest.fail("it is there"))
    store[0] = b"x" + store[0][1:]
    with pytest.raises(SourceError, match="came damaged"):
        Depot("other", root=tmp_path / "node").fill(packed, store.__getitem__)


def test_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    held, left = Depot("held", root=tmp_path / "node"), Depot("left", root=tmp_path / "node")
    left.close()
    with Depot("new", root=tmp_path / "node").room() as room:
        assert room.is_dir() and held.folder.is_dir() and not left.folder.exists()
    assert not room.exists()
    depot.remove("held", root=tmp_path / "node")
    assert not held.folder.exists()


def test_a_node_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "node").write_text("a file")
    with pytest.raises(SinkError, match="set TMPDIR"):
        Depot("key", root=tmp_path / "node")


def test_what_lies_in_the_shared_folder_stays_there(spec: JobSpec, tmp_path: Path, tiny: Path) -> None:
    box = tmp_path / "box"
    found = in_shared(spec, tiny, box)
    assert found["bundle"] == str(tiny) and found["motion"] == str(box / "motion.mp4")
    assert sorted(path.name for path in box.iterdir()) == ["motion.mp4", "reference.png"]
    assert in_shared(spec, Path("/"), Path("/"))["motion"] == spec.motion
