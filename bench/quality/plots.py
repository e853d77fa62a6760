"""Curves as pictures, and the same figures as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

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
        for (name, figures), colour in zip(curves.items(), COLOURS, strict=False):
            axes.plot(xs, [f.mean for f in figures], label=name, color=colour, marker=".", linewidth=1.3)
            axes.fill_between(xs, [f.low for f in figures], [f.high for f in figures], color=colour, alpha=0.15)
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
