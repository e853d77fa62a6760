"""What a job is: its inputs, its options, its chunks, and what all of that was when it began."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError
from tpc_stream.job.chunk_length import default_chunk_frames
from tpc_stream.job.cutting import CutConfig, JobChunk, cut
from tpc_stream.job.fingerprint import differences, fingerprint
from tpc_stream.job.frame_index import read_index
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions
from tpc_stream.plan import make_plan
from tpc_stream.reading.source_info import SourceRange, exact_seconds
from tpc_stream.source import probe
from tpc_stream.writing.video_file import clock_of

DEFAULT_RATE = Fraction(25)
_PATHS = ("bundle", "reference_mask", "pose_video", "sam")
_NO_MATTER = ("threads",)
"""Options that change how fast the pictures come, not the pictures."""
_OUTPUT_FIELDS = ("codec", "crf", "faststart", "sound", "audio_track", "side_by_side")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job, settled. It does not change while the job lives, unless its video turns out not to be cuttable."""

    reference: str
    motion: str
    options: AnimateOptions
    outputs: OutputOptions
    chunk_seconds: float
    """As asked for, or the default for this video; 0: all in one."""
    fingerprint: dict[str, str | int]
    rate: Fraction
    """Frames a second, nominally."""
    time_base: Fraction
    """Seconds in a tick of the output's clock; the same in all segments, so that they can be joined."""
    origin_seconds: Fraction
    """The source's first frame on its container's clock: see `SourceInfo.origin_seconds`."""
    audio_streams: int
    trouble: str
    """Why the video is not cut although that was asked for; empty: it is."""
    chunks: tuple[JobChunk, ...]

    @property
    def frames(self) -> int:
        """Frames of the output; an estimate where the only chunk is not exact."""
        return sum(len(chunk.frames) for chunk in self.chunks)

    def identity(self) -> dict[str, object]:
        """What has to be the same for a chunk that was made before to be of use, by names for people."""
        options = {key: value for key, value in plain(self.options).items() if key not in _NO_MATTER}
        outputs = {key: value for key, value in plain(self.outputs).items() if key in _OUTPUT_FIELDS}
        return {**self.fingerprint, **options, **outputs, "chunk_seconds": float(self.chunk_seconds)}

    def check_same(self, now: JobSpec) -> None:
        """InputError, naming the differences, unless `now` would make the same chunks."""
        changed = differences(self.identity(), now.identity())
        if changed:
            raise InputError(
                f"this is another job than the one in {now.outputs.path}.tpc: {'; '.join(changed)}. Restore that to go "
                "on, or remove the folder or choose another --out to start anew"
            )

    def in_one(self, trouble: str) -> JobSpec:
        """The same job as one chunk that reads the video from its start to its end, and why."""
        whole = range(self.frames)
        return replace(self, trouble=trouble, chunks=(JobChunk(0, whole, whole, whole, Fraction(0), exact=False),))


def make_spec(
    reference: str | Path,
    motion: str | Path,
    outputs: OutputOptions,
    options: AnimateOptions,
    *,
    chunk_seconds: float | None,
) -> JobSpec:
    """Looks at the inputs and cuts the video. Raises InputError for what cannot be done in chunks; SourceError.

    chunk_seconds: 0: all in one; None: `default_chunk_frames` for this video, whoever is going to work on it.
    """
    paths: dict[str, Any] = {name: _absolute(getattr(options, name)) for name in _PATHS}
    options = replace(options, **paths)
    _check(motion, outputs, options, chunk_seconds)
    motion, reference = str(Path(motion).resolve()), str(Path(reference).resolve())
    wanted = SourceRange.of(options.start_seconds, options.end_seconds, options.max_frames)
    info = probe(motion, start_seconds=wanted.start, end_seconds=wanted.end, max_frames=wanted.max_frames)
    if info.kind != "video":
        raise InputError(f"only a video file can be animated in chunks, {motion} is {info.kind}: leave out the chunks")
    if outputs.sound and info.audio_streams and not outputs.audio_track < info.audio_streams:
        raise InputError(f"{motion} has {info.audio_streams} audio track(s), there is no track {outputs.audio_track}")
    index = read_index(motion)
    rate = info.rate or DEFAULT_RATE
    frames = index.frames_of(wanted)
    trouble, chunks = index.trouble, tuple[JobChunk, ...]()
    if options.pose_video is not None:
        trouble = trouble or "a pose video goes with it, which is read from its start"
    if not trouble and not frames:
        raise InputError(f"{motion} has no frame in the range that is asked for: check --start and --end")
    first = Fraction(0)
    if not trouble:
        first = max(Fraction(0), index.seconds(frames.start) - exact_seconds(options.start_seconds))
        config = cut_config(options, chunk_seconds, rate=rate, frames=len(frames))
        chunk_seconds = float(config.chunk_frames / rate) if chunk_seconds is None else chunk_seconds
        chunks = cut(index, frames, config=config)
    spec = JobSpec(
        reference=reference,
        motion=motion,
        options=options,
        outputs=outputs,
        chunk_seconds=chunk_seconds or 0.0,
        fingerprint=fingerprint(reference, motion, options, index),
        rate=rate,
        time_base=clock_of(rate, first),
        origin_seconds=info.origin_seconds,
        audio_streams=info.audio_streams,
        trouble="",
        chunks=chunks,
    )
    if not trouble:
        return spec
    whole = range(info.frame_count_estimate or len(frames) or 1)
    return replace(spec, chunks=(JobChunk(0, whole, whole, whole, Fraction(0), exact=False),)).in_one(trouble)


def plain(options: Any) -> dict[str, Any]:
    """A dataclass of options as JSON keeps it: paths are texts, tuples lists."""
    return {
        key: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for key, value in asdict(options).items()
    }


def cut_config(options: AnimateOptions, chunk_seconds: float | None, *, rate: Fraction, frames: int) -> CutConfig:
    """How a video of so many frames is cut. Raises InputError for options that cannot be done in chunks.

    chunk_seconds: as for `make_spec`.
    """
    bundle = open_bundle(options.bundle)
    plan = make_plan(bundle, options)
    if plan.denoise.schedule != "window":
        raise InputError("chunks need the window schedule: leave out --schedule diagonal, or --chunk-seconds")
    config = CutConfig(
        chunk_frames=round(exact_seconds(chunk_seconds or 0) * rate),
        stride_frames=plan.new_frames,
        overlap_frames=plan.denoise.overlap,
        warm_up_seconds=exact_seconds(options.hold_seconds),
        frames_before=bundle.manifest.pose.frames_before,
        frames_after=bundle.manifest.pose.frames_after,
    )
    if chunk_seconds is not None:
        return config
    length = default_chunk_frames(frames, rate=rate, stride_frames=plan.new_frames, made_twice=config.made_twice)
    return replace(config, chunk_frames=length)


def _check(motion: str | Path, outputs: OutputOptions, options: AnimateOptions, chunk_seconds: float | None) -> None:
    if chunk_seconds is not None and not 0 <= chunk_seconds < float("inf"):
        raise InputError(f"chunks last 0 seconds (all in one) or more, got {chunk_seconds}")
    if outputs.destination != "file":
        raise InputError(f"chunks are joined to a video file, {outputs.path} is none: leave out --chunk-seconds")
    if options.realtime or options.drop not in (None, "none"):
        raise InputError("a video in chunks is not played in real time: leave out --realtime and --drop")
    if not Path(motion).is_file():
        raise InputError(f"only a video file can be animated in chunks, {motion} is none: check the path")


def _absolute(path: str | Path | None) -> str | Path | None:
    """So that the job can be resumed from another folder; a bundle's name stays one."""
    return str(Path(path).resolve()) if path is not None and Path(path).exists() else path
