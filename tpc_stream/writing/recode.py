"""Sound that the output's container cannot hold as it is: decoded, cut to the sample, and coded anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import SourceError
from tpc_stream.writing.sound import SoundSource, timed_packets

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

RATE = 48_000
"""Samples a second of the new sound; the only rate that Opus has for full bandwidth, and AAC takes it too."""
BIT_RATES = {1: 96_000, 2: 160_000}
"""Bits a second by the number of channels: transparent for music with both encoders."""
GAP_SECONDS = Fraction(1, 50)
"""A jump of the time stamps above this is a gap or an overlap and is corrected; below it is rounding of the source."""
PRE_ROLL_SECONDS = Fraction(1, 5)
"""Decoded before the range and dropped: decoders need a few packets until they are right (Opus: 80 ms)."""


class RecodedSound:
    """Samples on the output's clock: sample n is at n / RATE seconds, gaps are filled with silence."""

    def __init__(
        self,
        source: SoundSource,
        container: InputContainer,
        stream: AudioStream,
        output: OutputContainer,
        encoder: str,
    ) -> None:
        self._source, self._container, self._stream = source, container, stream
        channels = min(stream.codec_context.layout.nb_channels, 2)
        self._layout = {1: "mono", 2: "stereo"}[channels]
        self._target: AudioStream = output.add_stream(encoder, rate=RATE)  # type: ignore[assignment]
        self._target.layout = self._layout
        self._target.bit_rate = BIT_RATES[channels]
        self._target.time_base = Fraction(1, RATE)
        self._format = "fltp" if encoder == "aac" else "flt"
        self._target.format = self._format
        self._keeps_run_in = encoder == "libopus"
        self._blocks = self._decode()
        self._pending: NDArray[np.float32] = np.zeros((channels, 0), np.float32)
        self._sent = 0  # samples handed to the encoder

    def packets(self, until_seconds: Fraction) -> Iterator[Packet[AudioStream]]:
        until = int(self._source.until(until_seconds) * RATE)
        size = self._target.codec_context.frame_size or 960
        while self._sent + size <= until and self._fill(size):
            yield from self._encode(size)
        self._end = until

    def flush(self) -> Iterator[Packet[AudioStream]]:
        size = self._target.codec_context.frame_size or 960
        if (rest := self._end - self._sent) > 0:
            self._fill(rest)
            if rest := min(rest, self._pending.shape[1], size):
                yield from self._encode(rest)
        yield from self._placed(self._target.encode(None))

    def close(self) -> None:
        self._container.close()

    def _fill(self, count: int) -> bool:
        while self._pending.shape[1] < count:
            if (block := next(self._blocks, None)) is None:
                return False
            self._pending = np.concatenate([self._pending, block], axis=1)
        return True

    def _encode(self, count: int) -> Iterator[Packet[AudioStream]]:
        samples, self._pending = self._pending[:, :count], self._pending[:, count:]
        packed = samples if self._format == "fltp" else samples.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=self._format, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, Fraction(1, RATE)
        self._sent += count
        yield from self._placed(self._target.encode(frame))

    def _decode(self) -> Iterator[NDArray[np.float32]]:
        """[channels, samples] float32 in [-1, 1], one after the other from sample 0 on."""
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=RATE)
        position = 0
        for frame in self._frames():
            for block in resampler.resample(frame):
                samples = block.to_ndarray().astype(np.float32, copy=False)
                begin = position if block.pts is None else round(block.pts * Fraction(block.time_base or 0) * RATE)
                if begin > position and (position == 0 or begin - position > GAP_SECONDS * RATE):
                    yield np.zeros((samples.shape[0], begin - position), np.float32)
                    position = begin
                elif begin < position and (position == 0 or position - begin > GAP_SECONDS * RATE):
                    samples = samples[:, position - begin :]
                position += samples.shape[1]
                yield samples

    def _frames(self) -> Iterator[AudioFrame | None]:
        packets = timed_packets(
            self._container, self._stream, self._source.start_seconds, keep_seconds=PRE_ROLL_SECONDS
        )
        try:
            for packet in packets:
                yield from packet.decode()
            yield from self._stream.decode(None)
        except av.FFmpegError as error:
            raise SourceError(f"the sound of {self._source.url} cannot be decoded: {error.strerror}") from error
        yield None  # empties the resampler

    def _placed(self, packets: list[Packet[AudioStream]]) -> Iterator[Packet[AudioStream]]:
        """Without the packets before time 0, which hold an encoder's run-in and would need an edit list.

        Matroska notes Opus's run-in in the header, and players take it off again.
        """
        for packet in packets:
            if packet.pts is not None and (packet.pts >= 0 or self._keeps_run_in):
                yield packet
