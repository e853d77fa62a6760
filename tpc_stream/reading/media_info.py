"""What an open source is, from its container and its first frame."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from tpc_stream.reading.container import Media
from tpc_stream.reading.container_counts import duration_seconds, expected_frames
from tpc_stream.reading.decoding import TimedFrame
from tpc_stream.reading.inputs import InputKind
from tpc_stream.reading.orientation import Orientation, orientation_of_frame
from tpc_stream.reading.pixels import PixelReader
from tpc_stream.reading.source_info import SourceInfo, SourceKind, SourceRange

_KINDS: dict[InputKind, SourceKind] = {
    "file": "video", "url": "video", "camera": "camera", "screen": "screen", "pipe": "pipe",
}  # fmt: skip


def pixel_reader(media: Media, frame: av.VideoFrame) -> PixelReader:
    """Turns the source's frames upright and into RGB, as its first frame asks for."""
    return PixelReader(
        codec=media.decoder.name,
        orientation=orientation_of_frame(frame),
        pixel_aspect=media.stream.sample_aspect_ratio,
    )


def info_of(
    media: Media,
    first: TimedFrame,
    image: NDArray[np.uint8],
    *,
    orientation: Orientation,
    has_alpha: bool,
    wanted: SourceRange,
) -> SourceInfo:
    """What the source is; `image`: its first frame, HWC, as it is read. The range only shapes frame_count_estimate."""
    duration, total = (None, None) if media.live else (duration_seconds(media), expected_frames(media))
    if total is None and duration is not None and media.rate is not None:
        total = round(duration * media.rate)
    return SourceInfo(
        url=media.url,
        kind=_KINDS[media.kind],
        width=image.shape[1],
        height=image.shape[0],
        rate=media.rate,
        variable_rate=media.variable_rate,
        frame_count_estimate=wanted.count(duration, media.rate, total),
        duration_seconds=duration,
        origin_seconds=first.origin_seconds,
        rotation_degrees=orientation.rotation_degrees,
        mirrored=orientation.mirrored,
        audio_streams=len(media.container.streams.audio),
        has_alpha=has_alpha,
        live=media.live,
        codec=media.decoder.name,
        pixel_format=first.frame.format.name,
    )
