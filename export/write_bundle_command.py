"""`python -m export SYSTEM --checkpoint DIR --out engines/NAME`: a published checkpoint becomes a bundle."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from export.systems.parts import Sources
from export.systems.registry import load_system, system_class
from export.to_onnx import KEPT_WHOLE
from export.write_bundle import write_system_bundle
from tpc_stream.errors import TpcStreamError


def main(argv: list[str]) -> int:
    """`argv` begins with the system's name. Exit status 2 for bad input, which is told in one line."""
    name, *rest = argv
    options = _parser(name).parse_args(rest)
    try:
        traits = system_class(name).traits
        width, height = options.size or (traits.width, traits.height)
        if options.out.exists() and not options.overwrite:  # told before minutes of loading
            print(f"error: {options.out} exists; give another --out, or --overwrite", file=sys.stderr)
            return 2
        sources = Sources(options.checkpoint, options.base, options.vae_checkpoint, options.clip, options.vae)
        system, report = load_system(name, sources)
        for line in report.lines:
            print(line)
        check = {"auto": None, "yes": True, "no": False}[options.check]
        write_system_bundle(
            system,
            options.out,
            name=options.out.name,
            width=width,
            height=height,
            precision=options.precision,
            keep=options.keep_fp32,
            origin=options.origin or f"{name}, weights of {options.checkpoint.name}",
            blank=options.blank,
            check=check,
            overwrite=options.overwrite,
            say=print,
        )
    except TpcStreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {width}x{height}, {options.precision}; try tpc-stream animate --bundle {options.out}")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"export {name}", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the folder (or file) as its authors publish it")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder, such as engines/NAME")
    parser.add_argument("--base", type=Path, help="a Stable Diffusion 1.5 folder with unet, vae and text_encoder")
    parser.add_argument("--vae", choices=("kl", "tiny"), default="kl", help="AutoencoderKL, or TAESD for live use")
    parser.add_argument("--vae-checkpoint", type=Path, help="the VAE's folder or file")
    parser.add_argument("--clip", type=Path, help="a CLIP image encoder's folder or file")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument(
        "--keep-fp32", type=_pattern, default=KEPT_WHOLE, metavar="REGEX",
        help="of fp16: layers by name that stay float32; default: the VAE's encoder and the UNets' first level",
    )  # fmt: skip
    parser.add_argument("--size", type=_size, help="WIDTHxHEIGHT in pixels; default: what the authors publish")
    parser.add_argument("--blank", action="store_true", help="guide away from a blank picture, not from zeros (DisCo)")
    parser.add_argument("--check", choices=("auto", "yes", "no"), default="auto", help="compare each graph with torch")
    parser.add_argument("--origin", help="where the weights come from, for the manifest")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that exists")
    return parser


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"no regular expression: {text!r} ({error})") from error
    return text


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT, got {text!r}")
    return int(width), int(height)
