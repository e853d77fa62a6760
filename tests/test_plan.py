from __future__ import annotations

import re
from dataclasses import Field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import Plan, make_plan


def plan(folder: Path, *, bundle: dict[str, Any] | None = None, **options: Any) -> Plan:
    made = make_tiny_bundle(folder / "tiny", **(bundle or {}))
    return make_plan(open_bundle(made), AnimateOptions(**options))


def test_the_bundles_defaults_hold_where_the_user_says_nothing(tmp_path: Path) -> None:
    settled = plan(tmp_path, bundle={"window": 12, "overlap": 4, "steps": 3})
    assert (settled.denoise.window, settled.denoise.overlap, settled.denoise.steps) == (12, 4, 3)
    assert settled.denoise.group_size == 4
    assert settled.canvas == (256, 256)
    assert settled.output == (32, 32)


@pytest.mark.parametrize(
    ("options", "window", "overlap", "group"),
    [
        ({"window": 16}, 16, 4, 4),
        ({"window": 4}, 4, 0, 4),
        ({"window": 2}, 2, 0, 2),
        ({"window": 6}, 6, 3, 3),
        ({"groups": 2}, 8, 4, 4),
        ({"groups": 3}, 8, 4, 2),
        ({"group_size": 1, "overlap": 3}, 8, 3, 1),
        ({"group_size": 8, "overlap": 0}, 8, 0, 8),
    ],
)
def test_windows_and_groups_are_settled_together(
    tmp_path: Path, options: dict[str, int], window: int, overlap: int, group: int
) -> None:
    denoise = plan(tmp_path, bundle={"overlap": 4}, **options).denoise
    assert (denoise.window, denoise.overlap, denoise.group_size) == (window, overlap, group)


def test_cost_and_delay_are_known_before_the_start(tmp_path: Path) -> None:
    settled = plan(tmp_path, steps=4, guidance_scale=2.0, window=8, overlap=4)
    assert settled.passes_per_frame == 4 * 2 * 2
    assert settled.encodes_per_frame == pytest.approx(1 - 0.75**4)
    assert settled.delay_seconds(Fraction(25)) == pytest.approx(7 / 25)
    assert settled.delay_seconds(None) is None
    assert plan(tmp_path, tpc=False).encodes_per_frame == 0
    text = " ".join(settled.describe(Fraction(25), 100))
    assert "100 frames at 25.000 fps" in text and "delay 0.28 s" in text and "16.00 denoiser passes" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 128}, "at most 64, got 128"),
        ({"groups": 9}, "groups"),
        ({"window": 6, "group_size": 4}, "multiples of the group size 4"),
        ({"size": (64, 32)}, "try --size 64x64"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"hold_seconds": float("inf")}, "hold_seconds"),
        ({"group_size": 2, "groups": 2}, "not both"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"max_frames": 0}, "max_frames"),
        ({"start_seconds": -1.0}, "negative"),
        ({"start_seconds": 2.0, "end_seconds": 2.0}, "not after its start"),
        ({"size": (33, 32)}, "even"),
        ({"seed": -1}, "seed"),
        ({"hold_seconds": -0.1}, "hold_seconds"),
        ({"threads": -2}, "threads"),
    ],
)
def test_impossible_options_name_the_value(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(tmp_path, **options)


@pytest.mark.parametrize("field", [f for f in fields(AnimateOptions) if re.search("int|float", str(f.type))])
def test_a_number_of_the_wrong_type_is_named_with_its_option(field: Field[Any]) -> None:
    for bad in ("x", True, [1], *([1.5] if "float" not in str(field.type) else [])):
        options: dict[str, Any] = {field.name: bad}
        with pytest.raises(InputError, match=rf"^{field.name} must be .*, got {re.escape(repr(bad))}$"):
            AnimateOptions(**options)
    if field.default is not None:
        options = {field.name: None}
        with pytest.raises(InputError, match="got None"):
            AnimateOptions(**options)


def test_numbers_of_other_kinds_are_numbers() -> None:
    numpy_made: dict[str, Any] = {"seed": np.int64(3), "hold_seconds": np.float32(0.5), "start_seconds": Fraction(1, 3)}
    assert AnimateOptions(**numpy_made).seed == 3


def test_a_bundle_needs_a_name() -> None:
    with pytest.raises(InputError, match="has no name"):
        AnimateOptions(bundle="")
