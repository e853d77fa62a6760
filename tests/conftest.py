"""Fixtures that every test file may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
