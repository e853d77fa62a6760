"""`--hwaccel`: what the GPU would decode and encode, and the return to software where there is none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from tests.with_gpu import skip_with_driver, skip_without_gpu
from tpc_stream import hwaccel
from tpc_stream.errors import InputError, SourceError
from tpc_stream.hwaccel import HwAccel, noted_returns, settled, tell_return
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions
from tpc_stream.reading.hardware import tell_if_in_software
from tpc_stream.reading.source_info import SourceOptions
from tpc_stream.sinks import sink_stage
from tpc_stream.source import read_frames
from tpc_stream.writing import hardware
from tpc_stream.writing.hardware import ENCODERS, LIVE_ENCODERS, chosen_encoder, fault_of
from tpc_stream.writing.sink_config import SinkConfig
from tpc_stream.writing.steady import DeliveryReport
from tpc_stream.writing.video_file import VideoFile
from tpc_stream.writing.video_formats import ENCODERS as SOFTWARE
from tpc_stream.writing.video_formats import Encoder

MOTION = "tpc_stream/assets/demo_motion.mp4"


@pytest.fixture(autouse=True)
def nothing_told_yet() -> Iterator[None]:
    hwaccel._tell.cache_clear()
    yield
    hwaccel._tell.cache_clear()


@pytest.fixture
def no_driver() -> None:
    skip_with_driver()


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.message) for r in caplog.records if r.name == "tpc_stream.hwaccel"]


@pytest.mark.parametrize(
    ("choice", "backend", "comes_to"),
    [
        ("auto", "onnxrt", "none"),
        ("auto", "simulated:denoise=3", "none"),
        ("auto", "torch:cpu", "none"),
        ("auto", "onnxrt:cuda", "auto"),
        ("auto", "trt", "auto"),
        ("auto", "torch", "auto"),
        ("cuda", "onnxrt", "cuda"),
        ("none", "trt", "none"),
    ],
)
def test_auto_is_for_backends_on_a_gpu(choice: HwAccel, backend: str, comes_to: HwAccel) -> None:
    assert settled(choice, backend) == comes_to
    options = AnimateOptions(backend=backend, hwaccel=choice)
    assert options.source_options.hwaccel == comes_to


def test_another_word_is_refused() -> None:
    with pytest.raises(InputError, match="hwaccel is one of auto, cuda, none, got 'vulkan'"):
        AnimateOptions(hwaccel="vulkan")  # type: ignore[arg-type]  # as a caller without types may


def _pictures(choice: HwAccel, project: Path) -> np.ndarray:
    options = SourceOptions(hwaccel=choice)
    return np.stack([item.image for item in read_frames(project / MOTION, max_frames=3, options=options)])


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_software_decodes_and_it_is_told_once(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = _pictures("cuda", project)
        assert np.array_equal(found, _pictures("cuda", project))
    assert np.array_equal(found, _pictures("none", project))
    (level, words), *more = told(caplog)
    assert level == "WARNING" and words.startswith("decoding is not done by the GPU but in software: NVDEC does not")
    assert not more


@pytest.mark.usefixtures("no_driver")
def test_what_is_chosen_by_itself_returns_without_a_warning(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _pictures("auto", project)
    assert [level for level, _ in told(caplog)] == ["INFO"]


def test_a_file_that_cannot_be_read_is_told_as_without_a_gpu(tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(SourceError, match="is not a video or picture that can be read"):
        list(read_frames(path, options=SourceOptions(hwaccel="cuda")))


def _written(path: Path, config: SinkConfig) -> bytes:
    file = VideoFile(path, size=(160, 160), first_seconds=Fraction(0), config=config, sound=None)
    for k in range(3):
        file.write(np.full((160, 160, 3), 80 * k, np.uint8), Fraction(k, 25))
    file.close()
    return path.read_bytes()


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_software_encodes_and_it_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = _written(tmp_path / "a.mp4", SinkConfig())
    with caplog.at_level(logging.INFO):
        assert _written(tmp_path / "b.mp4", SinkConfig(hwaccel="cuda")) == wanted
        assert _written(tmp_path / "c.mp4", SinkConfig(hwaccel="cuda")) == wanted
        _written(tmp_path / "d.webm", SinkConfig(codec="vp9", hwaccel="cuda"))
    (level, words), (_, other), *more = told(caplog)
    assert level == "WARNING" and words.startswith("encoding h264 is not done by the GPU but in software: h264_nvenc")
    assert other.endswith("NVENC is used for h264 and hevc alone") and not more


def test_an_encoder_that_starts_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "fault_of", lambda name, size, options: "")
    assert chosen_encoder(SOFTWARE["h264"], "h264", (512, 512), "auto") is ENCODERS["h264"]
    assert chosen_encoder(SOFTWARE["h264"], "h264", (512, 512), "none") is SOFTWARE["h264"]
    # libx265 stands in for NVENC: what is chosen is really what writes, with its own name for the quality
    other = {"h264": SOFTWARE["hevc"]}
    monkeypatch.setattr(hardware, "ENCODERS", other)
    _written(tmp_path / "a.mp4", SinkConfig(hwaccel="auto"))
    with av.open(str(tmp_path / "a.mp4")) as opened:
        assert opened.streams.video[0].codec_context.name == "hevc"


def test_the_run_gives_its_choice_to_the_sink() -> None:
    assert OutputOptions(path="a.mp4").hwaccel == "none"
    for path in ("a.mp4", "rtmp://127.0.0.1/live/x"):
        outputs = OutputOptions(path=path, hwaccel="cuda")
        stage = sink_stage(outputs, cast(Any, SimpleNamespace(rate=None)), sound=None, delivery=DeliveryReport())
        assert cast(Any, stage).keywords["config"].hwaccel == "cuda"
    tell_return("auto", "encoding h264", "")  # nothing to say is said as it is


def test_a_return_is_noted_each_time_though_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with noted_returns() as first:
        tell_return("cuda", "decoding", "no driver")
    with noted_returns() as second:
        tell_return("cuda", "decoding", "no driver")
    tell_return("cuda", "decoding", "nobody listens")
    assert first == second == ["no driver"]
    assert len(told(caplog)) == 2


@pytest.mark.parametrize(
    ("pixels", "returns"), [("cuda", []), ("yuv422p10le", ["NVDEC does not take this h264 of yuv422p10le"])]
)
def test_a_decoder_that_goes_on_in_software_by_itself_is_told(pixels: str, returns: list[str]) -> None:
    """A stand-in for PyAV's decoder: a real one with a hardware context needs a driver."""
    with noted_returns() as noted:
        tell_if_in_software("cuda", cast(Any, SimpleNamespace(is_hwaccel=True, pix_fmt=pixels, name="h264")))
        tell_if_in_software("none", cast(Any, SimpleNamespace(is_hwaccel=False, pix_fmt="yuv420p", name="h264")))
    assert noted == returns


@pytest.mark.parametrize("encoder", [*ENCODERS.values(), *LIVE_ENCODERS.values()], ids=lambda found: found.name)
def test_ffmpeg_knows_every_option(encoder: Encoder) -> None:
    """Their names and words, in the FFmpeg that PyAV brings; what they do needs a card."""
    supported = av.CodecContext.create(encoder.name, "w").supported_options
    # what is of one encoder goes before what is of all
    known = {option.name: option for option in (*supported.generic, *supported.private)}
    for name, value in encoder.options.items() | {(encoder.quality, str(encoder.default_crf))}:
        choices = [choice.name for choice in known[name].choices]
        assert value in choices or known[name].min <= float(value) <= known[name].max, name


def test_streams_are_sent_without_delay() -> None:
    """Without `delay` FFmpeg holds two frames back."""
    options = LIVE_ENCODERS["h264"].options
    assert (options["delay"], options["tune"], options["zerolatency"]) == ("0", "ull", "1")
    assert "delay" not in ENCODERS["h264"].options


@pytest.mark.usefixtures("no_driver")
def test_the_encoder_is_tried_with_its_options() -> None:
    """FFmpeg reads them before it looks for the driver."""
    assert "Operation not permitted" in fault_of("h264_nvenc", (256, 256), tuple(LIVE_ENCODERS["h264"].options.items()))
    assert "Operation not permitted" not in fault_of("h264_nvenc", (256, 256), (("tune", "no such word"),))


@pytest.mark.gpu
def test_nvenc_gives_every_frame_at_once() -> None:
    skip_without_gpu()
    encoder = LIVE_ENCODERS["h264"]
    if fault := fault_of(encoder.name, (256, 256), tuple(encoder.options.items())):
        pytest.skip(f"{fault} (data centre cards have none)")
    context = cast(VideoCodecContext, av.CodecContext.create(encoder.name, "w"))
    context.width, context.height, context.pix_fmt, context.time_base = 256, 256, "yuv420p", Fraction(1, 25)
    context.options, context.max_b_frames = dict(encoder.options), 0
    for k in range(5):
        frame = av.VideoFrame.from_ndarray(np.full((256, 256, 3), 40 * k, np.uint8), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = k, Fraction(1, 25)
        assert [packet.pts for packet in context.encode(frame)] == [k]


@pytest.mark.gpu
def test_the_gpu_decodes_and_encodes_or_says_why(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    skip_without_gpu()
    with caplog.at_level(logging.INFO):
        difference = np.abs(_pictures("cuda", project).astype(int) - _pictures("none", project))
        _written(tmp_path / "a.mp4", SinkConfig(hwaccel="cuda"))
    assert np.percentile(difference, 99) <= 2
    assert not [words for _, words in told(caplog) if words.startswith("decoding")]
