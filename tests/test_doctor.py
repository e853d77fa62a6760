from __future__ import annotations

import io

import pytest
from rich.console import Console

from tpc_stream import doctor
from tpc_stream.doctor import examine
from tpc_stream.finding import Finding
from tpc_stream.system_libraries import SYSTEM_LIBRARIES, install_command, main, missing_packages


def test_a_missing_library_is_named_with_the_command_that_installs_it() -> None:
    missing = missing_packages({"libc.so.6": "libc6", "libnothing.so.9": "libnothing9"})
    assert missing == ["libnothing9"]
    assert install_command(missing) == "sudo apt-get install -y libnothing9"


def test_this_machine_has_every_library() -> None:
    assert missing_packages() == []
    assert main() == 0
    assert set(SYSTEM_LIBRARIES.values()) == {"libgl1", "libglib2.0-0", "libegl1", "libgles2"}


@pytest.mark.parametrize(("needed", "healthy"), [(True, False), (False, True)])
def test_only_what_the_default_path_needs_makes_it_ill(
    needed: bool, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [Finding("python", True, "3.11"), Finding("thing", False, "gone", "install thing", needed)]
    monkeypatch.setattr(doctor, "findings", lambda: iter(lines))
    text = io.StringIO()
    assert examine(Console(file=text, width=200)) is healthy
    assert "gone -> install thing" in text.getvalue()


def test_a_command_with_brackets_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [Finding("thing", False, "gone", "pip install thing[cuda,cudnn]", needed=False)]
    monkeypatch.setattr(doctor, "findings", lambda: iter(lines))
    text = io.StringIO()
    examine(Console(file=text, width=200))
    assert "pip install thing[cuda,cudnn]" in text.getvalue()


def test_a_package_that_is_not_installed_is_found_missing() -> None:
    finding = doctor._package("no-such-package-at-all")
    assert not finding.good and finding.mend == "pip install no-such-package-at-all"
