"""A Session's frames as a CSV file, one row a frame, for spreadsheets and statistics programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tpc_stream.errors import SinkError
from tpc_stream.recording.session import Session
from tpc_stream.writing.whole_file import write_whole


def csv_pieces(session: Session) -> Iterator[str]:
    """The header, then one line a frame (RFC 4180): its index and every column; empty where a frame has no value."""
    names = list(session.frame_columns)
    yield _line(["index", *names])
    for index, *values in zip(session.frame_indices, *session.frame_columns.values(), strict=True):
        yield _line([index, *("" if value is None else value for value in values)])


def write_csv(session: Session, path: Path) -> None:
    """Write all rows, or nothing; SinkError where the file cannot be written."""
    try:
        write_whole(path, (piece.encode("utf-8") for piece in csv_pieces(session)))
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; give a path that can be written") from error


def _line(values: list[int | float | str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()
