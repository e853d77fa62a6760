"""Both sets under one seed after another: without and with calibration, and with and without Iterative Propagation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bench.quality.backbones import Backbones
from bench.quality.figures import Entry, Figure, entry
from bench.quality.runs import FRAME_METRICS, MOTION_METRICS, Runner, of_kind, score
from bench.quality.sets import KINDS, Kind, TestClip
from bench.seams import Seams, borders, differences, seams
from tpc_stream.options import AnimateOptions

VARIANTS = ("no_tpc", "tpc", "tpc, no IP")
METRICS = (*FRAME_METRICS, *MOTION_METRICS, "LPIPS", "FID", "FID-VID", "FVD")
Clips = Callable[[int], Iterable[TestClip]]
"""The clips of a seed."""


@dataclass
class Measured:
    """Values by seed, in the order of the seeds."""

    values: dict[tuple[Kind, str, str], list[float | None]] = field(default_factory=lambda: defaultdict(list))
    """(set, variant, metric)."""
    parts: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """(name of the reference, variant): person PSNR of each clip."""
    truth_flicker: dict[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    seam_ratios: dict[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    """At the borders of groups, of each clip: Iterative Propagation on, over off."""
    frames: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


def options_of(variant: str, options: AnimateOptions) -> AnimateOptions:
    """The choices of a run that make the variant."""
    if variant == "no_tpc":
        return replace(options, tpc=False)
    return replace(options, tpc=True, groups=None, group_size=1) if variant == "tpc, no IP" else options


def measure(
    clips: Clips,
    seeds: Sequence[int],
    options: AnimateOptions,
    *,
    backbones: Backbones,
    progress: Callable[[str], None],
) -> Measured:
    """Animates every clip of every seed under each variant. The seed also decides noise and draws."""
    out = Measured()
    for seed in seeds:
        of_seed: dict[tuple[Kind, str], dict[str, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
        shown: dict[tuple[Kind, str], tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]] = defaultdict(
            lambda: ([], [])
        )
        with ExitStack() as opened:
            runners = {v: opened.enter_context(Runner(replace(options_of(v, options), seed=seed))) for v in VARIANTS}
            for clip in clips(seed):
                still = score(clip, clip.truths, names=()).steps["flicker"]
                for case in clip.cases:
                    made = {variant: runner.run(clip, case) for variant, runner in runners.items()}
                    for kind in KINDS:
                        chosen = np.array([k == kind for k in case.kinds])
                        if not chosen.any():
                            continue
                        out.frames[kind] += int(chosen.sum())
                        out.truth_flicker[kind] += list(still[chosen[:-1] & chosen[1:]])
                        for variant, pictures in made.items():
                            for name, found in of_kind(score(clip, pictures), case, kind).items():
                                of_seed[kind, variant][name].append(found)
                            runs = shown[kind, variant]
                            for whole, into in ((pictures, runs[0]), (clip.truths, runs[1])):
                                into += _together(whole, chosen)
                            psnr = of_seed[kind, variant]["person PSNR"][-1]
                            out.parts[f"{kind}: {case.name}", variant].append(float(np.nanmean(psnr)))
                        if chosen.all():
                            ratio = _seams(runners["tpc"], made["tpc"], made["tpc, no IP"])
                            if ratio.count:
                                out.seam_ratios[kind].append(ratio.mean)
                progress(f"seed {seed}: {clip.name} done")
        for (kind, variant), found_by_name in of_seed.items():
            for name, found_arrays in found_by_name.items():
                joined = np.concatenate(found_arrays)
                known = joined[~np.isnan(joined)]
                out.values[kind, variant, name].append(float(known.mean()) if len(known) else None)
            for name, value in backbones.measure(*shown[kind, variant]).items():
                out.values[kind, variant, name].append(value)
    return out


def _together(pictures: NDArray[np.uint8], chosen: NDArray[np.bool_]) -> list[NDArray[np.uint8]]:
    """Runs of consecutive frames that are chosen."""
    cuts = np.flatnonzero(np.diff(chosen.astype(np.int8))) + 1
    return [part for part, keep in zip(np.split(pictures, cuts), np.split(chosen, cuts), strict=True) if keep.all()]


def _seams(runner: Runner, on: NDArray[np.uint8], off: NDArray[np.uint8]) -> Seams:
    kinds = borders(runner.plan, len(on))
    others = [k for name, found in kinds.items() if name != "group" for k in found]
    # a window's border is also a group's; without it, most borders of groups in short clips would not be looked at
    return seams(differences(on), differences(off), sorted({*kinds.get("group", []), *others}))


def results(measured: Measured) -> dict[str, dict[str, dict[str, Entry]]]:
    """[set]["tpc" | "no_tpc"][metric]."""
    return {
        kind: {
            variant: {name: entry(measured.values.get((kind, variant, name), [])) for name in METRICS}
            for variant in ("tpc", "no_tpc")
        }
        for kind in KINDS
    }


def propagation(measured: Measured) -> dict[str, dict[str, dict[str, Entry]]]:
    """[set]["on" | "off"][metric]: what Iterative Propagation changes, both with calibration."""
    names = ("person PSNR", *MOTION_METRICS)
    out = {}
    for kind in KINDS:
        both: dict[str, dict[str, Entry]] = {
            label: {name: entry(measured.values.get((kind, variant, name), [])) for name in names}
            for label, variant in (("on", "tpc"), ("off", "tpc, no IP"))
        }
        both["on"]["seam ratio"] = entry(measured.seam_ratios.get(kind, []))
        both["off"]["seam ratio"] = "1: counted against this run"
        both["truth"] = {"flicker": entry(measured.truth_flicker.get(kind, []))}
        out[kind] = both
    return out


def changes(measured: Measured) -> dict[str, Entry]:
    """Person PSNR, dB, seed by seed: what misalignment costs, what calibration gives the aligned, what IP costs."""

    def of(kind: Kind, variant: str) -> list[float | None]:
        return measured.values.get((kind, variant, "person PSNR"), [])

    def less(a: list[float | None], b: list[float | None]) -> Entry:
        if len(a) != len(b):  # a set is empty under some seed, as with few videos
            return "not measured"
        return entry([x - y for x, y in zip(a, b, strict=True) if x is not None and y is not None])

    return {
        "drop by misalignment, no_tpc": less(of("aligned", "no_tpc"), of("misaligned", "no_tpc")),
        "drop by misalignment, tpc": less(of("aligned", "tpc"), of("misaligned", "tpc")),
        "gain by TPC, aligned": less(of("aligned", "tpc"), of("aligned", "no_tpc")),
        "gain by TPC, misaligned": less(of("misaligned", "tpc"), of("misaligned", "no_tpc")),
        "gain by IP, aligned": less(of("aligned", "tpc"), of("aligned", "tpc, no IP")),
        "gain by IP, misaligned": less(of("misaligned", "tpc"), of("misaligned", "tpc, no IP")),
        "flicker by IP, misaligned": less(
            measured.values.get(("misaligned", "tpc", "flicker"), []),
            measured.values.get(("misaligned", "tpc, no IP", "flicker"), []),
        ),
    }


def by_reference(measured: Measured) -> dict[str, dict[str, Figure]]:
    """Person PSNR by what was done to the reference, over clips."""
    out: dict[str, dict[str, Figure]] = defaultdict(dict)
    for (name, variant), values in sorted(measured.parts.items()):
        out[name][variant] = Figure.of(values)
    return dict(out)
