"""The sound of an output: copied where the container takes it, otherwise coded anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from tpc_stream.errors import SourceError
from tpc_stream.writing.recode import RecodedSound
from tpc_stream.writing.sound import SEEK_BACK_SECONDS, CopiedSound, SoundSource, open_source

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

_log = logging.getLogger(__name__)


class SoundTrack(Protocol):
    """A stream of sound that is written up to a time, packet by packet."""

    def packets(self, until_seconds: Fraction) -> Iterator[Packet[AudioStream]]:
        """What comes next and starts before `until_seconds` of the output, ready to be muxed."""

    def flush(self) -> Iterator[Packet[AudioStream]]:
        """What is still inside; nothing comes after it."""

    def close(self) -> None:
        """Close the source."""


def open_sound(source: SoundSource, *, output: OutputContainer, encoder: str) -> SoundTrack:
    """Add the source's sound to `output`, before its header is written.

    It is copied without loss where the container takes its codec, and coded anew with `encoder` where not, which the
    log tells. Raises SourceError where the source cannot be read or has no such track.
    """
    from av.stream import Discard

    container = open_source(source.url)
    try:
        tracks = container.streams.audio
        if source.track >= len(tracks):
            have = f"{len(tracks)} audio track(s)" if tracks else "no sound"
            raise SourceError(f"{source.url} has {have}, not audio track {source.track}: leave the sound out")
        stream = tracks[source.track]
        for other in container.streams:
            other.discard = Discard.default if other is stream else Discard.all
        if source.start_seconds > SEEK_BACK_SECONDS:
            container.seek(int((source.start_seconds - SEEK_BACK_SECONDS) * 1_000_000))
        codec = stream.codec_context.name
        if _can_copy(stream, output):
            return CopiedSound(source, container, stream, output)
        _log.info("%s sound cannot be copied into %s, it is coded anew as %s", codec, output.format.name, encoder)
        return RecodedSound(source, container, stream, output, encoder)
    except BaseException:
        container.close()
        raise


def _can_copy(stream: AudioStream, output: OutputContainer) -> bool:
    context = stream.codec_context
    # MP4 wants the decoder's set-up in its header; AAC out of a transport stream has it in every packet instead.
    bare_aac = context.name.startswith("aac") and not context.extradata
    return context.codec.canonical_name in output.supported_codecs and not bare_aac
