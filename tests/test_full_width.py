"""What the full-width check assumes of the networks, at tiny width; the check itself takes gigabytes and minutes."""

from __future__ import annotations

import pytest
import torch

from export.__main__ import main
from export.full_width import NOT_ASKED, token_counts
from export.systems.random_checkpoint import random_system
from export.systems.registry import SYSTEMS
from tpc_stream.errors import InputError


def test_every_system_is_known() -> None:
    assert set(NOT_ASKED) == set(SYSTEMS)


@pytest.mark.parametrize("side", [8, 11])
def test_the_banks_sizes_are_those_that_are_written(side: int) -> None:
    system = random_system("magicanimate")
    written = system.write_bank(torch.zeros(1, 4, side, side), torch.zeros(1), system.text_tokens())
    assert token_counts(system.feature_names, side) == [tensor.shape[1] for tensor in written]
    assert token_counts(("tokens",), side) == [257]
    with pytest.raises(InputError, match="no level is known of the feature 'other'"):
        token_counts(("other",), side)


def test_an_unknown_system_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["full-width", "nobody"])
    assert left.value.code == 2 and "invalid choice: 'nobody'" in capsys.readouterr().err
