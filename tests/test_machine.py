from __future__ import annotations

import json
import platform

import numpy as np

from tpc_stream.recording.machine import describe_machine


def test_describes_this_machine_as_json() -> None:
    machine = describe_machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["python"] == platform.python_version()
    assert isinstance(machine["cores"], int) and machine["cores"] >= 1
    assert machine["cpu"]
    packages = machine["packages"]
    assert isinstance(packages, dict) and packages["numpy"] == np.__version__
