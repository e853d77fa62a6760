"""What a run writes, and whether it can be written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tpc_stream.errors import SinkError
from tpc_stream.writing.output_path import check_output, is_picture_sequence, picture_pattern
from tpc_stream.writing.video_formats import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What a run writes."""

    path: str
    """The video: .mp4, .mkv, .webm or .mov; or pictures: a folder with a slash at its end, or frames/%05d.png."""
    codec: Codec | None = None
    """None: vp9 for .webm, which takes no h264; h264 for the others."""
    crf: int | None = None
    faststart: bool = False
    sound: bool = True
    """Copy the driving video's sound."""
    audio_track: int = 0
    side_by_side: bool = False
    overwrite: bool = False
    sheet: bool = True
    """Write a contact sheet beside the video: NAME.png."""
    report: bool = True
    """Write the profile and the trace beside the video: NAME.json and NAME.trace.json."""

    @property
    def as_pictures(self) -> bool:
        """Whether one PNG a frame is written instead of a video."""
        return is_picture_sequence(self.path)

    @property
    def sheet_path(self) -> Path:
        return self._beside(".png")

    @property
    def profile_path(self) -> Path:
        return self._beside(".json")

    @property
    def trace_path(self) -> Path:
        return self._beside(".trace.json")

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
        reports = [(self.profile_path, "--no-report"), (self.trace_path, "--no-report")] if self.report else []
        return reports + ([(self.sheet_path, "--no-sheet")] if self.sheet else [])

    def check(self, *, inputs: list[str | Path]) -> None:
        """SinkError unless all of it can be written; before anything runs."""
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
