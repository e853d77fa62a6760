"""Curves as pictures, and the same figures as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality.figures import Figure

COLOURS = ("#a0a0a0", "#d08030", "#2060a0", "#308050")


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Numbers to five digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([[f"{v:.5g}" if isinstance(v, float) else v for v in row] for row in rows])


def draw_curves(
    path: Path, panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[Figure]]]], *, label: str
) -> None:
    """One panel beside the other, with intervals as bands; a panel is its x values and, by name, a figure for each.

    A panel whose name begins with "scale" has a logarithmic axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    made, all_axes = pyplot.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.2), dpi=90, sharey=True)
    for axes, (title, (xs, curves)) in zip(np.atleast_1d(all_axes), panels.items(), strict=True):
        _add_curves(axes, xs, curves)
        if title.startswith("scale"):
            axes.set_xscale("log", base=2)
            axes.set_xticks(xs, [f"{x:g}" for x in xs], fontsize=7)
        axes.set_xlabel(title)
        axes.spines[["top", "right"]].set_visible(False)
    first = np.atleast_1d(all_axes)[0]
    first.set_ylabel(label)
    first.legend(frameon=False, fontsize=8)
    made.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    pyplot.close(made)


def draw_measures(
    path: Path, xs: Sequence[float], rows: Sequence[Mapping[str, Mapping[str, Sequence[Figure]]]], *, label: str
) -> None:
    """A panel a measure, each with an axis of its own, in rows; a panel is, by name, a figure for each of the xs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (3.9 * len(rows[0]), 2.8 * len(rows))
    made, all_axes = pyplot.subplots(len(rows), len(rows[0]), figsize=size, dpi=90, squeeze=False)
    for line, panels in zip(all_axes, rows, strict=True):
        for axes, (title, curves) in zip(line, panels.items(), strict=True):
            _add_curves(axes, xs, curves, COLOURS[1:])
            axes.set_xticks(xs)
            axes.set_xlabel(label)
            axes.set_ylabel(title)
            axes.spines[["top", "right"]].set_visible(False)
    all_axes[0, 0].legend(frameon=False, fontsize=8)
    made.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    pyplot.close(made)


def _add_curves(
    axes: Any, xs: Sequence[float], curves: Mapping[str, Sequence[Figure]], colours: Sequence[str] = COLOURS
) -> None:
    """With intervals as bands."""
    for (name, figures), colour in zip(curves.items(), cycle(colours), strict=False):
        axes.plot(xs, [f.mean for f in figures], label=name, color=colour, marker=".", linewidth=1.3)
        axes.fill_between(xs, [f.low for f in figures], [f.high for f in figures], color=colour, alpha=0.15)


def draw_rows(path: Path, names: Sequence[str], panels: Mapping[str, Sequence[Figure | None]]) -> None:
    """One panel beside the other: a figure a name with its interval; None: nothing there."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (3.4 * len(panels) + 1.6, 0.28 * len(names) + 0.9)
    made, all_axes = pyplot.subplots(1, len(panels), figsize=size, dpi=90, sharey=True)
    for axes, (title, figures) in zip(np.atleast_1d(all_axes), panels.items(), strict=True):
        for place, figure in enumerate(figures):
            if figure is not None:
                axes.plot([figure.low, figure.high], [place, place], color=COLOURS[2], linewidth=1.3, alpha=0.6)
                axes.plot([figure.mean], [place], "o", color=COLOURS[2], markersize=4)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xlabel(title, fontsize=9)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(all_axes)[0].invert_yaxis()
    made.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    pyplot.close(made)


Looked = tuple[NDArray[np.uint8], NDArray[np.float32] | None, tuple[float, float] | None]
"""A picture, attention [side, side] to lay over it (None: the picture is not used), and a place (x, y) to mark."""


def draw_attention(path: Path, rows: Mapping[str, Sequence[Looked]]) -> None:
    """A row of pictures a setting: the frame, then r and c of each step, below it the attention to all of the picture.

    Each has a scale of its own, and fades where less than half of the attention is for the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = max(len(pictures) for pictures in rows.values())
    made, all_axes = pyplot.subplots(len(rows), count, figsize=(1.15 * count, 1.25 * len(rows)), dpi=90, squeeze=False)
    for number, (name, pictures) in enumerate(rows.items()):
        line = all_axes[number]
        for k, ((picture, attention, place), axes) in enumerate(zip(pictures, line, strict=True)):
            axes.set_xticks([])
            axes.set_yticks([])
            if not k:
                axes.set_ylabel(name.replace(", ", "\n"), fontsize=8)
            if not number and k:
                axes.set_title(f"step {(k + 1) // 2}, {'rc'[(k + 1) % 2]}", fontsize=8)
            if attention is None:
                for spine in axes.spines.values():
                    spine.set_visible(False)
                continue
            height, width = picture.shape[:2]
            extent = (0, width, height, 0)
            grey = picture.astype(np.float32).mean(2) / 255 * 0.7 + 0.15
            axes.imshow(grey if k else picture, cmap="gray", vmin=0, vmax=1, extent=extent)
            if k:
                part = attention / max(float(attention.max()), 1e-9)
                seen = np.sqrt(part) * 0.85 * min(1.0, 2 * float(attention.sum()))
                axes.imshow(part, cmap="inferno", alpha=seen, extent=extent, interpolation="bilinear", vmin=0)
            if place is not None:
                axes.plot(
                    place[0] * width, place[1] * height, "o", markersize=6, markerfacecolor="none",
                    markeredgecolor="#30e0e0",
                )  # fmt: skip
            if k:
                axes.set_xlabel(f"{attention.sum():.2f}", fontsize=7, labelpad=1)
    made.tight_layout(pad=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    pyplot.close(made)
