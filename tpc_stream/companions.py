"""What is written beside a run's output: the profile in its forms, and the contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tpc_stream.errors import SinkError
from tpc_stream.outputs import OutputOptions, ReportKind
from tpc_stream.profile import Session
from tpc_stream.rendering.csv_file import write_csv
from tpc_stream.rendering.page import write_page
from tpc_stream.report import write_json
from tpc_stream.sheet import ContactSheet
from tpc_stream.trace import write_trace

WRITERS: Mapping[ReportKind, Callable[[Session, Path], None]] = {
    "json": write_json,
    "trace": write_trace,
    "html": write_page,
    "csv": write_csv,
}


def write_companions(outputs: OutputOptions, session: Session, sheet: ContactSheet | None) -> list[Path]:
    """Writes what the outputs ask for; the paths, in order. Raises SinkError where one cannot be written."""
    written = []
    try:
        for kind, path in outputs.reports().items():
            WRITERS[kind](session, path)
            written.append(path)
        if sheet is not None:
            sheet.save(outputs.sheet_path)
            written.append(outputs.sheet_path)
    except SinkError as error:
        raise SinkError(f"{error}; {outputs.path} itself is complete") from error
    return written
