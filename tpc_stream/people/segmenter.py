"""SAM, asked for the person that the keypoints lie on, without torch (paper, section 4.1: where C_i's mask is from)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.backends import open_backend
from tpc_stream.engine import Engine, require_finite
from tpc_stream.errors import InputError, PortraitError
from tpc_stream.people.sam_bundle import open_sam_bundle
from tpc_stream.people.sam_picture import SamPlacement, normalised, placed, to_picture

_FOREGROUND, _PADDING = 1.0, -1.0
"""SAM's labels: a point of the object, and the one that stands where a box would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterConfig:
    """How SAM is asked, and which of its answers is taken."""

    visible_from: float = 0.5
    """[0, 1]: keypoints from this visibility on are shown to it."""
    min_inside: float = 0.75
    """Of those keypoints: a mask that holds fewer is of something else, such as the shirt or the whole room."""
    max_cover: float = 0.95
    """Of the picture: a mask that covers more takes nothing away."""


class Segmenter(Protocol):
    """Cuts a person out of a picture; `SamSegmenter` is the real one."""

    def mask(
        self,
        image: NDArray[np.uint8],
        *,
        keypoints: NDArray[np.float32],
        visibility: NDArray[np.float32],
        name: str = "the picture",
    ) -> NDArray[np.uint8]:
        """HW uint8, [0, 255]: coverage of the person on whom the keypoints lie."""


class SamSegmenter:
    """SAM's two graphs, opened; a context manager, or call `close`."""

    def __init__(
        self,
        folder: str | Path,
        *,
        backend: str = "onnxrt",
        threads: int = 0,
        config: SegmenterConfig = SegmenterConfig(),
    ) -> None:
        """Opens what `python -m export sam` wrote to `folder`.

        Errors: BundleError for a folder that is not that, BackendError where the graphs cannot run here.
        """
        self._config = config
        self.bundle = open_sam_bundle(folder)
        opener = open_backend(backend, threads=threads)
        self._encode: Engine = opener.open(self.bundle.encode)
        try:
            self._decode: Engine = opener.open(self.bundle.decode)
        except BaseException:
            self._encode.close()
            raise

    def mask(
        self,
        image: NDArray[np.uint8],
        *,
        keypoints: NDArray[np.float32],
        visibility: NDArray[np.float32],
        name: str = "the picture",
    ) -> NDArray[np.uint8]:
        """HW uint8, [0, 255]: coverage of the person on whom the keypoints lie, 128 at the border that SAM draws.

        SAM answers several masks, from a part to the whole; see `choose`.

        Args:
            image: HWC RGB uint8, any size; the longer side is resized to SAM's.
            keypoints: [17, 2] (x, y) in pixels of the picture, centres at .5; the visible ones are the prompt.
            visibility: [17] in [0, 1].
            name: what errors call the picture.

        Errors: PortraitError where no mask holds the keypoints, EngineError where a graph fails.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"SAM takes HWC RGB uint8, got {image.shape = } {image.dtype = }")
        height, width = image.shape[:2]
        inside = np.all((keypoints >= 0) & (keypoints < (width, height)), axis=1)
        shown = keypoints[inside & (visibility >= self._config.visible_from)]
        if len(shown) == 0:
            raise PortraitError(
                f"{name}: none of the person's keypoints can be seen, so SAM cannot be asked; give --reference-mask"
            )
        logits, scores = self.answers(image, shown)
        k = choose(logits, scores, shown, name=name, config=self._config)
        # the logistic function, so that the soft border is SAM's own doubt
        soft = 255.0 / (1.0 + np.exp(-np.clip(logits[k], -30.0, 30.0)))
        return np.asarray(np.rint(soft), dtype=np.uint8)

    def answers(
        self, image: NDArray[np.uint8], points: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """All of SAM's masks, as logits [M, H, W] at the picture's size (above 0: the object), and its scores [M].

        `image` HWC RGB uint8; `points` [P, 2] (x, y) in its pixels, centres at .5: the prompt, all of the object.
        """
        place = SamPlacement.of(image.shape[1], image.shape[0], size=self.bundle.image_size)
        picture = normalised(placed(image, place), size=place.size, mean=self.bundle.mean, std=self.bundle.std)
        embeddings = self._encode({"image": picture[None]})["embeddings"]
        prompt = np.concatenate([place.prompt(points), np.zeros((1, 2), np.float32)])
        labels = np.full(len(prompt), _FOREGROUND, np.float32)
        labels[-1] = _PADDING
        answer = self._decode({"embeddings": embeddings, "points": prompt[None], "labels": labels[None]})
        for key in ("masks", "scores"):
            require_finite(answer[key], graph="SAM decode", what=key)
        return np.stack([to_picture(mask, place) for mask in answer["masks"][0]]), answer["scores"][0]

    def close(self) -> None:
        """Give back the graphs' memory; a second call does nothing."""
        self._encode.close()
        self._decode.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def choose(
    logits: NDArray[np.float32],
    scores: NDArray[np.float32],
    points: NDArray[np.float32],
    *,
    name: str = "the picture",
    config: SegmenterConfig = SegmenterConfig(),
) -> int:
    """Which of the masks [M, H, W] (logits) is the person on whom the points [P, 2] lie: of those that hold enough of
    them and not the whole picture, the one with the highest score. Errors: PortraitError where none is."""
    shares = [_share_inside(logit, points) for logit in logits]
    fitting = [
        k
        for k, share in enumerate(shares)
        if share >= config.min_inside and float((logits[k] > 0).mean()) <= config.max_cover
    ]
    if not fitting:
        raise PortraitError(
            f"{name}: none of SAM's {len(scores)} masks is the person: the best holds {max(shares):.0%} of the "
            f"{len(points)} keypoints, {config.min_inside:.0%} are needed, and not over {config.max_cover:.0%} of the "
            f"picture; give --reference-mask, or leave --sam out"
        )
    return max(fitting, key=lambda k: float(scores[k]))


def _share_inside(logit: NDArray[np.float32], points: NDArray[np.float32]) -> float:
    """The share of the points at or next to which the mask is."""
    # a wrist on the very edge counts: keypoints are a few pixels off
    reach = max(1, round(0.01 * max(logit.shape)))
    near = cv2.dilate((logit > 0).astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
    columns, rows = np.floor(points).astype(int).T
    return float((near[rows, columns] > 0).mean())
