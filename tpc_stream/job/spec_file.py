"""A job's manifest as JSON, with a checksum of its own: a manifest that somebody edited is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from tpc_stream.errors import InputError
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.spec import JobSpec, plain
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions

FORMAT = 3
_TUPLES = ("size", "capture_size")


def spec_to_json(spec: JobSpec) -> str:
    """The manifest's text."""
    job = {
        "reference": spec.reference,
        "motion": spec.motion,
        "options": plain(spec.options),
        "outputs": plain(spec.outputs),
        "chunk_seconds": spec.chunk_seconds,
        "fingerprint": spec.fingerprint,
        "rate": str(spec.rate),
        "time_base": str(spec.time_base),
        "origin_seconds": str(spec.origin_seconds),
        "audio_streams": spec.audio_streams,
        "trouble": spec.trouble,
        "chunks": [_chunk_to_json(chunk) for chunk in spec.chunks],
    }
    return json.dumps({"format": FORMAT, "sha256": _digest(job), "job": job}, indent=1) + "\n"


def spec_from_json(text: str, *, path: Path) -> JobSpec:
    """The job that `spec_to_json` wrote; InputError for anything else, with `path` in it."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise InputError(
                f"{path} is of format {document['format']}, this version reads {FORMAT}: use the version that began it"
            )
        job = document["job"]
        if document["sha256"] != _digest(job):
            raise InputError(f"{path} was changed after it was written: remove {path.parent} and start anew")
        return _spec(job)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}): remove {path.parent} and start anew") from error


def _spec(job: dict[str, Any]) -> JobSpec:
    options: dict[str, Any] = dict(job["options"])
    for name in _TUPLES:
        options[name] = None if options[name] is None else tuple(options[name])
    known = {field.name for field in fields(OutputOptions)}
    outputs = {key: value for key, value in job["outputs"].items() if key in known}
    return JobSpec(
        reference=job["reference"],
        motion=job["motion"],
        options=AnimateOptions(**options),
        outputs=OutputOptions(**outputs),
        chunk_seconds=job["chunk_seconds"],
        fingerprint=job["fingerprint"],
        rate=Fraction(job["rate"]),
        time_base=Fraction(job["time_base"]),
        origin_seconds=Fraction(job["origin_seconds"]),
        audio_streams=job["audio_streams"],
        trouble=job["trouble"],
        chunks=tuple(_chunk(number, item) for number, item in enumerate(job["chunks"])),
    )


def _chunk_to_json(chunk: JobChunk) -> dict[str, Any]:
    return {
        "frames": [chunk.frames.start, chunk.frames.stop],
        "denoised": [chunk.denoised.start, chunk.denoised.stop],
        "read": [chunk.read.start, chunk.read.stop],
        "start_seconds": str(chunk.start_seconds),
        "last_seconds": str(chunk.last_seconds),
        "exact": chunk.exact,
    }


def _chunk(number: int, item: dict[str, Any]) -> JobChunk:
    return JobChunk(
        number, range(*item["frames"]), range(*item["denoised"]), range(*item["read"]),
        Fraction(item["start_seconds"]), Fraction(item["last_seconds"]), item["exact"],
    )  # fmt: skip


def _digest(job: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
