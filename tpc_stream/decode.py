"""Latents become pictures: the decode graph, the background plate, the output size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.bundle import Bundle
from tpc_stream.conditioning import Engines
from tpc_stream.denoise import DenoisedFrame
from tpc_stream.engine import fetched, require_finite, require_light
from tpc_stream.frame import AnimatedFrame, Portrait
from tpc_stream.plate import background_plate, composite
from tpc_stream.resident import joined


def decode(
    frames: Iterable[DenoisedFrame],
    *,
    bundle: Bundle,
    engines: Engines,
    portrait: Portrait,
    width: int,
    height: int,
) -> Iterator[AnimatedFrame]:
    """Decodes the frames that leave together in one pass and yields them at width x height pixels.

    Where the bundle's decode graph gives mattes, the person is laid over the reference's own background, which is
    sharp and does not flicker; frames without a person show the background alone.
    """
    has_mattes = "mattes" in bundle.manifest.graphs["decode"].output_names
    plate = np.zeros((height, width, 3), dtype=np.float32)  # nobody is laid over it where there are no mattes
    if has_mattes:
        plate = _resize(background_plate(portrait.image, portrait.mask), width, height).astype(np.float32)
    batch: list[DenoisedFrame] = []
    for frame in frames:
        batch.append(frame)
        if not frame.ends_batch:
            continue
        outputs = fetched(engines["decode"], {"latents": joined([item.latents for item in batch])})
        for name, array in outputs.items():
            require_finite(array, graph="decode", what=name)
        if any(item.shown for item in batch):
            require_light(outputs["images"], graph="decode")
        for row, item in enumerate(batch):
            picture = _resize((outputs["images"][row].transpose(1, 2, 0) + 1) * 127.5, width, height)
            if has_mattes:
                matte = _resize(outputs["mattes"][row, 0], width, height).clip(0, 1) if item.shown else _nothing(plate)
                picture = composite(picture, matte, plate)
            source = item.frame
            yield AnimatedFrame(
                index=source.frame.index,
                pts_seconds=source.frame.pts_seconds,
                image=np.asarray(picture.round().clip(0, 255), dtype=np.uint8),
                captured_seconds=source.frame.captured_seconds,
                source=source,
            )
        batch = []


def _nothing(plate: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros(plate.shape[:2], dtype=np.float32)


def _resize(picture: NDArray[np.generic], width: int, height: int) -> NDArray[np.float32]:
    if picture.shape[1] == width and picture.shape[0] == height:
        return np.asarray(picture, dtype=np.float32)
    shrinks = picture.shape[1] > width or picture.shape[0] > height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.asarray(picture, dtype=np.float32), (width, height), interpolation=method))
