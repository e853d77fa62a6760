"""Charts as inline SVG: an axis, a line, an area, marks. Colours are the page's CSS variables, so it can be dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 880
"""Pixels of every chart at full size; the page scales it down where it is narrower."""
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 10, 34
"""Pixels around the plot, for the labels."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels, linear or logarithmic."""

    low: float
    high: float
    first: float
    """Pixel of `low`."""
    last: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside lie at the border."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.first + share * (self.last - self.first), 1)

    def ticks(self) -> list[float]:
        """Round values, about six."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [factor * 10.0**power for power in powers for factor in ((1, 3) if len(powers) < 5 else (1,))]
        else:
            span = self.high - self.low
            step = 10.0 ** math.floor(math.log10(span / 5))
            step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= 7)
            every = [
                step * k for k in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
            ]
        return [tick for tick in every if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def horizontal(low: float, high: float, *, log: bool = False, left: int = LEFT) -> Scale:
    """The scale along the bottom of a chart."""
    return Scale(low, high if high > low else low + 1, left, WIDTH - RIGHT, log)


def vertical(low: float, high: float, *, height: int) -> Scale:
    """The scale along the left of a chart of that height in pixels; high values are up."""
    return Scale(low, high if high > low else low + 1, height - BOTTOM, TOP)


def chart(body: str, *, height: int, name: str) -> str:
    """The SVG element; `name` is read out to those who do not see it."""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">{body}</svg>'


def axis_below(scale: Scale, *, height: int, label: str, top: int = TOP) -> str:
    """Grid lines, numbers and what they are."""
    foot = height - BOTTOM
    parts = [
        f'<line class="grid" x1="{scale(t)}" y1="{top}" x2="{scale(t)}" y2="{foot}"/>'
        f'<text x="{scale(t)}" y="{foot + 14}" text-anchor="middle">{t:g}</text>'
        for t in scale.ticks()
    ]
    middle = (scale.first + scale.last) / 2
    return "".join(parts) + text(middle, height - 4, label, anchor="middle")


def axis_left(scale: Scale) -> str:
    """Grid lines and numbers."""
    return "".join(
        f'<line class="grid" x1="{LEFT}" y1="{scale(t)}" x2="{WIDTH - RIGHT}" y2="{scale(t)}"/>'
        f'<text x="{LEFT - 6}" y="{scale(t) + 4}" text-anchor="end">{t:g}</text>'
        for t in scale.ticks()
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "label") -> str:
    """Words; `kind` is their class in the page's style."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def line(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A line through the pixels."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="var(--{colour})" stroke-width="1.5"/>'


def area(xs: Sequence[float], lower: Sequence[float], upper: Sequence[float], colour: str) -> str:
    """What lies between two lines of pixels."""
    outline = [*zip(xs, upper, strict=True), *reversed(list(zip(xs, lower, strict=True)))]
    path = " ".join(f"{x:g},{y:g}" for x, y in outline)
    return f'<polygon points="{path}" fill="var(--{colour})"/>'


def rectangle(x: float, y: float, width: float, height: float, colour: str, *, title: str) -> str:
    """A filled box that says its title under the pointer."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.8):.1f}" height="{height:.1f}" fill="var(--{colour})">'
        f"<title>{escape(title)}</title></rect>"
    )


def dot(x: float, y: float, colour: str, *, title: str, radius: float = 4) -> str:
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="var(--{colour})"><title>{escape(title)}</title></circle>'
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """HTML: colour and name."""
    keys = "".join(f'<span><i style="background:var(--{colour})"></i>{escape(name)}</span>' for colour, name in entries)
    return f'<p class="legend">{keys}</p>'
