"""Fixtures that every test file may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tiny_bundle import make_tiny_bundle

if TYPE_CHECKING:
    from tpc_stream.job.spec import JobSpec

AsAUser = Callable[[], AbstractContextManager[None]]
NOBODY = 65534  # the user and group of that name on Linux

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real samples beside the project; skips without it, fails where TPC_REQUIRE_SHARED=1."""
    folder = Path(os.environ.get("TPC_SHARED", PROJECT.parent / "shared"))
    if not (folder / "samples").is_dir():
        if os.environ.get("TPC_REQUIRE_SHARED") == "1":
            pytest.fail(f"the samples are required (TPC_REQUIRE_SHARED=1) and {folder}/samples does not exist")
        pytest.skip(f"no samples at {folder}")
    return folder


@pytest.fixture(scope="session")
def reference(project: Path) -> Path:
    """The picture of a rendered person that the package ships."""
    return project / "tpc_stream" / "assets" / "demo_reference.png"


@pytest.fixture(scope="session")
def motion(project: Path) -> Path:
    """The driving clip that the package ships: 125 frames of another rendered person, with sound."""
    return project / "tpc_stream" / "assets" / "demo_motion.mp4"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of hand-made graphs."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m export sam` makes of a SAM with tiny widths and random weights."""
    from export.__main__ import main
    from tests.tiny_sam import write_checkpoint  # torch: only for who asks

    folder = tmp_path_factory.mktemp("sam")
    checkpoint = write_checkpoint(folder / "tiny.pth")
    assert main(["sam", "--checkpoint", str(checkpoint), "--out", str(folder / "sam")]) == 0
    return folder / "sam"


@pytest.fixture
def as_a_user() -> Iterator[AsAUser]:
    """Runs a block in a folder of its own without root's right to read and write everything; a user stays as is."""
    before = Path.cwd()
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        if root:
            os.chown(folder, NOBODY, NOBODY)

        @contextmanager
        def user() -> Iterator[None]:
            os.chdir(folder)
            if root:
                os.setresuid(NOBODY, NOBODY, 0)  # the saved id is the way back
            try:
                yield
            finally:
                if root:
                    os.setresuid(0, 0, 0)
                os.chdir(before)
                for path in Path(folder).iterdir():
                    path.chmod(0o700)

        yield user


@pytest.fixture(scope="module")
def someone_known() -> Iterator[None]:
    """Finding somebody in a reference takes a second in each job: here it is known who stands where."""
    from tests.made_job import known_person  # jobs: only for who asks

    with known_person():
        yield


@pytest.fixture
def spec(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> JobSpec:
    """A job of four chunks; lossless, so that its pictures are the network's."""
    from tests.made_job import job_spec

    return job_spec(tiny, reference, motion, tmp_path / "out.mkv", codec="ffv1")


@pytest.fixture(scope="module")
def whole(
    someone_known: None, tiny: Path, reference: Path, motion: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """That job's video, made without interruption."""
    from tests.made_job import never_interrupted

    return never_interrupted(tiny, reference, motion, tmp_path_factory.mktemp("whole") / "whole.mkv")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: threads that wait for each other cost more than small sizes gain."""
    import torch  # only for who asks

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
