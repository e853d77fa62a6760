"""The page holds every figure and nothing from elsewhere; the table file gives the rows back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fake_clock import FakeClock, Item
from tpc_stream.errors import SinkError
from tpc_stream.profile import Profiler, Session
from tpc_stream.rendering import charts, svg
from tpc_stream.rendering.csv_file import csv_pieces, write_csv
from tpc_stream.rendering.page import render_page, write_page


@pytest.fixture(scope="module")
def session() -> Session:
    clock = FakeClock()
    profiler = Profiler(clock=clock)

    def source() -> Iterator[Item]:
        for k in range(8):
            clock.advance(0.25)
            yield Item(k, clock())

    def denoise(upstream: Iterable[Item]) -> Iterator[Item]:
        held: list[Item] = []
        for item in upstream:
            held.append(item)
            if len(held) == 4:
                with profiler.span("network"):
                    clock.advance(0.5)
                yield from held
                held = []

    for item in profiler.stage("denoise", denoise, profiler.source("source", source())):
        profiler.frame_record(
            item.index, pts_seconds=item.index / 4, iou=0.1 * item.index, status="fresh", note='a,"b"'
        )
        profiler.frame_done(item.index, item.captured_seconds)
    profiler.frame_record(5, status="held")
    profiler.frame_event("held", 5)
    profiler.frame_event("dropped", 2, 4)
    profiler.note(reference="/x/<me>.png", motion="/x/dance.mp4", environment={"cpu": "abacus & sons"})
    return profiler.session(fps=4.0)


class Reader(HTMLParser):
    """What a page refers to, and whether its elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        if tag not in ("meta", "line", "polyline", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop() != tag:
            pass


def test_the_page_stands_alone(session: Session) -> None:
    page = render_page(session)
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and reader.links == []
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert "url(" not in page and "@import" not in page and "http" not in page
    assert reader.tags.count("svg") == 5
    assert page.isascii() and "prefers-color-scheme: dark" in page
    assert "&lt;me&gt;.png" in page and "<me>" not in page and "abacus &amp; sons" in page


def test_every_chart_is_well_formed_and_inside_its_frame(session: Session) -> None:
    drawn = re.findall(r"<svg.*?</svg>", render_page(session))
    for text in drawn:
        root = ElementTree.fromstring(text)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for element in root.iter():
            across = [float(element.attrib[k]) for k in ("x", "x1", "x2", "cx") if k in element.attrib]
            down = [float(element.attrib[k]) for k in ("y", "y1", "y2", "cy") if k in element.attrib]
            for pair in element.attrib.get("points", "").split():
                x, y = map(float, pair.split(","))
                across.append(x)
                down.append(y)
            assert all(0 <= x <= width for x in across) and all(0 <= y <= height for y in down), text


def test_the_parts_are_stacked_up_to_the_latency(session: Session) -> None:
    text = charts.latency_over_time(session)
    root = ElementTree.fromstring(text[text.index("<svg") :])
    polygons = [element.attrib["points"].split() for element in root.iter("polygon")]
    (line,) = [element.attrib["points"].split() for element in root.iter("polyline")]
    assert len(polygons) == 4 and len(line) == 8
    assert polygons[-1][:8] == line  # the top of the last part


def test_shares_of_a_thread_fill_its_row(session: Session) -> None:
    text = charts.shares(session)
    root = ElementTree.fromstring(text[text.index("<svg") :])
    boxes = [(float(e.attrib["x"]), float(e.attrib["width"])) for e in root.iter("rect")]
    assert sum(width for _, width in boxes[:2]) == pytest.approx(svg.WIDTH - svg.RIGHT - charts.NAMES, abs=1)
    titles = [e.findtext("title") for e in root.iter("rect")]
    assert titles[0] == "source: 66.7 %, 2000 ms"


def test_events_say_which_frames(session: Session) -> None:
    text = charts.drops(session)
    assert "<title>dropped: 2 to 4</title>" in text and "<title>held: 5</title>" in text
    assert "No frame was dropped" in charts.drops(replace(session, events={}))


def test_an_empty_session_has_a_page() -> None:
    page = render_page(Profiler().session())
    assert "No durations were recorded." in page and page.count("<svg") == 0


def test_a_long_run_is_drawn_with_its_slowest_frames(session: Session) -> None:
    rows = 5000
    columns = {name: tuple(1.0 for _ in range(rows)) for name in session.frame_columns if name.endswith("_ms")}
    columns["end_to_end_ms"] = tuple(99.0 if k == 1234 else 4.0 for k in range(rows))
    columns["done_seconds"] = tuple(k / 10 for k in range(rows))
    text = charts.latency_over_time(replace(session, frame_indices=tuple(range(rows)), frame_columns=columns))
    (line,) = re.findall(r'<polyline points="([^"]*)"', text)
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert len(heights) <= charts.MAX_POINTS and min(heights) < 30 < sorted(heights)[1]
    assert "slowest of 8 frames" in text


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (svg.Scale(0, 1, 0, 100), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (svg.Scale(96.3, 139.5, 0, 100), [100, 110, 120, 130]),
        (svg.Scale(0.02, 700, 0, 100, log=True), [0.1, 1, 10, 100]),
        (svg.Scale(3, 40, 0, 100, log=True), [3, 10, 30]),
    ],
)
def test_ticks_are_round(scale: svg.Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)
    assert scale(scale.low) == 0 and scale(scale.high) == 100 and scale(scale.high * 9) == 100


def test_rows_come_back_from_the_table_file(session: Session, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO("".join(csv_pieces(session)))))
    assert [int(row["index"]) for row in rows] == list(range(8))
    assert float(rows[3]["end_to_end_ms"]) == 500.0 and rows[5]["status"] == "held"
    assert rows[0]["note"] == 'a,"b"'
    write_csv(session, tmp_path / "rows.csv")
    assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 9
    for write in (write_csv, write_page):
        with pytest.raises(SinkError, match=r"cannot write .*missing"):
            write(session, tmp_path / "missing" / "file")
