"""Fixtures that every test file may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tiny_bundle import make_tiny_bundle

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
