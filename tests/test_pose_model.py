"""The pose model's file: the right one opens, any other is refused, and it can be made again."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from mediapipe.tasks.metadata import schema_py_generated as tflite_schema

from export.pose_model import ALIGNMENT, METADATA_NAME, NETWORKS, build_task, main, read_networks, with_metadata
from tpc_stream.errors import PoseError
from tpc_stream.people.pose_model import MODEL_PATH, MODEL_SHA256, read_model


def test_shipped_file_is_the_known_one_and_has_its_licence_beside_it() -> None:
    assert hashlib.sha256(read_model(MODEL_PATH)).hexdigest() == MODEL_SHA256
    licence = MODEL_PATH.with_suffix(".LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in licence and "What was changed" in licence


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    model = bytearray(MODEL_PATH.read_bytes())
    model[len(model) // 2] ^= 1
    wrong = tmp_path / "wrong.task"
    wrong.write_bytes(model)
    with pytest.raises(PoseError, match=f"wrong.task has sha256 .* not {MODEL_SHA256}.*export pose-model"):
        read_model(wrong)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"cannot be read .*export pose-model"):
        read_model(tmp_path / "absent.task")


def test_task_file_is_stored_aligned_and_states_the_normalisation() -> None:
    with zipfile.ZipFile(MODEL_PATH) as archive:
        entries = archive.infolist()
        models = [archive.read(entry) for entry in entries]
    assert [entry.filename for entry in entries] == [network.task_name for network in NETWORKS]
    whole = MODEL_PATH.read_bytes()
    for entry, model, network in zip(entries, models, NETWORKS, strict=True):
        assert entry.compress_type == zipfile.ZIP_STORED
        assert whole.index(model) % ALIGNMENT == 0
        options = _normalisation(model)
        assert (options.Mean(0), options.Std(0)) == (network.mean, network.std)


def test_task_file_can_be_built_again_from_its_own_parts() -> None:
    with zipfile.ZipFile(MODEL_PATH) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    again = build_task(parts)
    assert again == MODEL_PATH.read_bytes()
    assert zipfile.ZipFile(io.BytesIO(again)).testzip() is None


def test_metadata_is_replaced_not_doubled() -> None:
    with zipfile.ZipFile(MODEL_PATH) as archive:
        model = archive.read(NETWORKS[0].task_name)
    changed = tflite_schema.Model.GetRootAs(with_metadata(model, b"new"), 0)
    names = [changed.Metadata(k).Name().decode() for k in range(changed.MetadataLength())]
    assert names.count(METADATA_NAME) == 1
    entry = changed.Metadata(names.index(METADATA_NAME))
    assert changed.Buffers(entry.Buffer()).DataAsNumpy().tobytes() == b"new"


def test_a_wheel_without_the_networks_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(PoseError, match=r"holds no .*pose_detection\.tflite"):
        read_networks(wheel)


def test_a_wheel_with_another_network_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    wheel, out = tmp_path / "mediapipe.whl", tmp_path / "out.task"
    with zipfile.ZipFile(wheel, "w") as archive:
        for network in NETWORKS:
            archive.writestr(network.wheel_path, b"another")
    with pytest.raises(PoseError, match=r"pose_detection\.tflite in .* has sha256"):
        main(["--wheel", str(wheel), "--out", str(out)])
    assert not out.exists()


def _normalisation(model: bytes) -> metadata_schema.NormalizationOptions:
    tree = tflite_schema.Model.GetRootAs(model, 0)
    entries = [tree.Metadata(k) for k in range(tree.MetadataLength())]
    (entry,) = [entry for entry in entries if entry.Name().decode() == METADATA_NAME]
    buffer = tree.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    metadata = metadata_schema.ModelMetadata.GetRootAs(buffer, 0)
    unit = metadata.SubgraphMetadata(0).InputTensorMetadata(0).ProcessUnits(0)
    options = metadata_schema.NormalizationOptions()
    options.Init(unit.Options().Bytes, unit.Options().Pos)
    return options
