"""What a run writes, and whether it can be written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tpc_stream.errors import SinkError
from tpc_stream.hwaccel import HwAccel
from tpc_stream.writing.destination import DestinationKind, PreviewKind, RawFormat, destination_of
from tpc_stream.writing.output_path import check_output, is_picture_sequence, picture_pattern
from tpc_stream.writing.video_formats import Codec

ReportKind = Literal["json", "trace", "html", "csv"]
SUFFIXES: dict[ReportKind, str] = {"json": ".json", "trace": ".trace.json", "html": ".html"}
"""Of the reports that are written beside the video unless they are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What a run writes."""

    path: str
    """The video: .mp4, .mkv, .webm or .mov; or pictures: a folder with a slash at its end, or frames/%05d.png; or
    an address, rtmp://, rtsp://, udp:// or tcp://; - for raw frames on stdout; virtualcam[:DEVICE]; none."""
    codec: Codec | None = None
    """None: vp9 for .webm, which takes no h264; h264 for the others."""
    crf: int | None = None
    hwaccel: HwAccel = "none"
    """Whether NVENC encodes a video file or stream; see `hwaccel`."""
    faststart: bool = False
    sound: bool = True
    """Copy the driving video's sound."""
    audio_track: int = 0
    side_by_side: bool = False
    preview: PreviewKind | None = None
    """Show the frames while they are made."""
    raw: RawFormat = "rgb24"
    """What is written where the path is -."""
    overwrite: bool = False
    sheet: bool = True
    """Write a contact sheet beside the video: NAME.png."""
    report: bool = True
    """Write the profile beside the video: NAME.json, NAME.html and, for Perfetto, NAME.trace.json."""
    json: str | None = None
    """Write the profile there instead; also where the output is no file, and where `report` is False."""
    html: str | None = None
    trace: str | None = None
    csv: str | None = None
    """Write one row a frame there; beside the video there is none."""

    @property
    def destination(self) -> DestinationKind:
        """What kind of output the path means. Raises SinkError for an address that cannot be written to."""
        return destination_of(self.path)

    @property
    def in_a_folder(self) -> bool:
        """Whether the output lies on a disk, so that a sheet and reports can lie beside it."""
        return self.destination in ("file", "pictures")

    @property
    def as_pictures(self) -> bool:
        """Whether one PNG a frame is written instead of a video."""
        return is_picture_sequence(self.path)

    @property
    def sheet_path(self) -> Path:
        return self._beside(".png")

    def reports(self) -> dict[ReportKind, Path]:
        """What is written of the profile, and where."""
        given: dict[ReportKind, str | None] = {
            "json": self.json, "trace": self.trace, "html": self.html, "csv": self.csv,
        }  # fmt: skip
        beside = self.report and self.in_a_folder
        places = {kind: self._beside(suffix) for kind, suffix in SUFFIXES.items()} if beside else {}
        return places | {kind: Path(path) for kind, path in given.items() if path is not None}

    @property
    def settled_codec(self) -> Codec:
        """The codec of the video."""
        return self.codec or ("vp9" if Path(self.path).suffix.lower() == ".webm" else "h264")

    def _beside(self, suffix: str) -> Path:
        # pictures get theirs beside their folder, where no viewer takes a sheet for a frame
        if not self.as_pictures:
            return Path(self.path).with_suffix(suffix)
        folder = Path(picture_pattern(self.path)).resolve().parent
        return folder.parent / (folder.name + suffix)

    def _companion_switches(self) -> list[tuple[Path, str]]:
        """What is written beside the frames, with the option that leaves it out."""
        reports = [
            (path, "--no-report" if getattr(self, kind) is None else f"no --{kind}")
            for kind, path in self.reports().items()
        ]
        return reports + ([(self.sheet_path, "--no-sheet")] if self.sheet and self.in_a_folder else [])

    def check(self, *, inputs: list[str | Path]) -> None:
        """SinkError unless all of it can be written; before anything runs."""
        if self.in_a_folder:
            check_output(self.path, overwrite=self.overwrite, inputs=inputs)
        for path, leave_out in self._companion_switches():
            if path.is_dir():
                raise SinkError(f"{path} is a folder: choose another --out, or leave it out with {leave_out}")
            if path.exists() and any(os.path.exists(given) and os.path.samefile(given, path) for given in inputs):
                raise SinkError(
                    f"{path} is also an input and would be destroyed: choose another --out, "
                    f"or leave it out with {leave_out}"
                )
            if path.exists() and not self.overwrite:
                raise SinkError(
                    f"{path} exists: choose another --out, allow it with --overwrite, or leave it out with {leave_out}"
                )
