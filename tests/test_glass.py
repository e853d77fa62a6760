"""The stamp survives the codec, and what is read from the encoded output is what the profile says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import tpc_stream
from bench.glass import QUICK, glass_to_glass
from bench.stamp import BITS, draw, read
from tests.synthetic import frame
from tests.test_bench_latency import stick_poses
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.pipeline import Animator

RATE = 10.0


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Animator]:
    """Two frames a window, 128x128 out, so that an encoded strip has blocks of five pixels."""
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("glass") / "tiny", window=2)
    options = tpc_stream.AnimateOptions(bundle=bundle, size=(128, 128), group_size=2)
    with Animator(options, pose_stage=stick_poses) as made:
        made.set_reference(reference)
        list(made.animate(frame(k) for k in range(4)))
        yield made


def test_every_bit_is_read_back_and_neighbours_differ_in_one_block() -> None:
    image = np.full((64, 128, 3), 90, np.uint8)
    for value in [0, 1, (1 << BITS) - 1, *(1 << k for k in range(BITS)), 123_456]:
        assert read(draw(image, value)) == value
    differing = (draw(image, 4095)[0, :, 0] != draw(image, 4096)[0, :, 0]).sum()
    assert differing <= 2 * -(-128 // 24)  # one bit, and the parity
    with pytest.raises(ValueError, match="got 1048576"):
        draw(image, 1 << BITS)


def test_what_is_no_stamp_is_no_time() -> None:
    assert read(np.full((64, 128, 3), 90, np.uint8)) is None
    broken = draw(np.full((64, 128, 3), 90, np.uint8), 5)
    broken[:8, 64:69] = 255 - broken[:8, 64:69]
    assert read(broken) is None


def test_it_survives_h264() -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width = encoder.height = 128
    encoder.pix_fmt, encoder.time_base, encoder.options = "yuv420p", Fraction(1, 1000), {**QUICK, "crf": "35"}
    decoder = av.CodecContext.create("h264", "r")
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    values = [k * 37 for k in range(8)]
    seen = []
    for value in values:
        picture = av.VideoFrame.from_ndarray(draw(noise, value), format="rgb24").reformat(format="yuv420p")
        picture.pts = value
        for packet in encoder.encode(picture):
            seen += [read(item.to_ndarray(format="rgb24")) for item in decoder.decode(packet)]
    seen += [read(item.to_ndarray(format="rgb24")) for item in decoder.decode(None)]
    assert seen == values


def test_the_profile_agrees_with_the_encoded_output(animator: Animator) -> None:
    seen = glass_to_glass(animator, [frame(k) for k in range(5)], rate=RATE, frames=24)
    assert seen.unread == 0 and len(seen.glass_ms) == 24
    interval = 1e3 / RATE
    steady = seen.difference_ms[5:]  # the viewer looks at the first frames to learn the format
    assert abs(np.median(steady)) < interval
    # where the other tests stop this process between the two clocks, one stall costs a frame or two
    assert np.mean(np.abs(steady) < interval) > 0.8
    assert min(seen.glass_ms) > 0


def test_an_encoder_that_holds_frames_back_is_found_out(animator: Animator) -> None:
    slow = {"preset": "veryfast", "rc-lookahead": "4", "bf": "0", "sync-lookahead": "0"}
    seen = glass_to_glass(animator, [frame(k) for k in range(5)], rate=RATE, frames=16, encoder=slow)
    assert np.median(seen.difference_ms) > 2e3 / RATE
