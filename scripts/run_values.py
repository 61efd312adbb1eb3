"""Values of run folders in comparable form: Arrow columns bit by bit, Parquet footers, JSON and run.json."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

RUN_KEYS = ("recipe", "status", "error", "audio_seconds", "max_reject_fraction")
STAGE_KEYS = ("name", "kind", "rows", "rejected", "shards", "audio_seconds", "counters")
ABSENT = "(absent)"
HASHES = ("content", "fingerprint")  # keys of a manifest or a codebook


def bits(array: pa.ChunkedArray) -> pa.Array:
    """The values with floats reinterpreted as integers, so that NaN equals NaN and 0.0 differs from -0.0."""
    kind = bit_type(array.type)
    chunks = [chunk if kind == array.type else chunk.view(kind) for chunk in array.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], kind)


def bit_type(kind: pa.DataType) -> pa.DataType:
    """The type with each float type replaced by the integer type of the same width, at any depth."""
    if pa.types.is_floating(kind):
        return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
    if pa.types.is_struct(kind):
        return pa.struct([kind.field(i).with_type(bit_type(kind.field(i).type)) for i in range(kind.num_fields)])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(bit_type(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(bit_type(kind.value_type)))
    return kind


def has_text(kind: pa.DataType) -> bool:
    """True for strings, and for lists and structs with strings in them."""
    if pa.types.is_struct(kind):
        return any(has_text(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return has_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def footer(file: pq.ParquetFile) -> dict[str, Any]:
    """Footer of a Parquet file as JSON values, without `created_by`, sizes and statistics values."""
    meta = file.metadata
    groups = []
    for i in range(meta.num_row_groups):
        group = meta.row_group(i)
        chunks = [group.column(j) for j in range(group.num_columns)]
        columns = {
            chunk.path_in_schema: {
                "type": chunk.physical_type,
                "compression": chunk.compression,
                "encodings": sorted(chunk.encodings),
                "dictionary": chunk.has_dictionary_page,
                "statistics": chunk.is_stats_set,
                "values": chunk.num_values,
            }
            for chunk in chunks
        }
        groups.append({"rows": group.num_rows, "columns": columns, "order": [c.path_in_schema for c in chunks]})
    metadata = {key.decode(): value.decode() for key, value in (meta.metadata or {}).items()}
    encoded = metadata.pop("ARROW:schema", None)
    return {
        "format_version": meta.format_version,
        "row_groups": groups,
        "metadata": metadata,
        "arrow_schema": None if encoded is None else schema_fields(decode_schema(encoded)),
    }


def decode_schema(encoded: str) -> pa.Schema:
    """The Arrow schema stored in a Parquet footer as base64."""
    return pyarrow.ipc.read_schema(pa.BufferReader(base64.b64decode(encoded)))


def schema_fields(schema: pa.Schema) -> dict[str, Any]:
    """A schema as JSON values: the order of its columns, their types, nullability and metadata."""
    fields = {f.name: {"type": str(f.type), "nullable": f.nullable, "metadata": str(f.metadata)} for f in schema}
    return {"order": schema.names, "fields": fields, "metadata": str(schema.metadata)}


def run_facts(body: dict[str, Any]) -> dict[str, Any]:
    """run.json without times, machine and folders."""
    stages = [{key: stage.get(key) for key in STAGE_KEYS} for stage in body.get("stages", [])]
    return {**{key: body.get(key) for key in RUN_KEYS}, "stages": stages}


def json_differences(left: Any, right: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, left, right) of each value that differs in type or value."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            path = f"{at}.{key}" if at else key
            yield from json_differences(left.get(key, ABSENT), right.get(key, ABSENT), path)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, (x, y) in enumerate(zip(left, right, strict=True)):
            yield from json_differences(x, y, f"{at}[{i}]")
    elif not same_scalar(left, right):
        yield at, left, right


def same_scalar(left: Any, right: Any) -> bool:
    """True for values of the same type with the same bits."""
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    return type(left) is type(right) and bool(left == right)


def first_element(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> tuple[str, Any, Any]:
    """(index, left, right) of the first element with other bytes."""
    pairs = enumerate(zip(left.ravel(), right.ravel(), strict=True))
    i, (x, y) = next((i, (x, y)) for i, (x, y) in pairs if x.tobytes() != y.tobytes())
    return f"element {i} of shape {left.shape}", x, y


def first_byte(left: bytes, right: bytes) -> tuple[str, str, str]:
    """(offset, left, right) of the first differing bytes."""
    i = next((i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right)))
    return f"byte {i}", f"{left[i : i + 16]!r} of {len(left)}", f"{right[i : i + 16]!r} of {len(right)}"


def present_name(path: Path) -> str:
    """Path of a file in a run; files of earlier versions have the names of this version."""
    return "/".join({"manifest.json": "_manifest.json", "rejects": "_rejects"}.get(part, part) for part in path.parts)


def fingerprints(files: dict[str, Path]) -> dict[str, str]:
    """Hash -> role, from the manifests and codebooks of a run."""
    roles: dict[str, str] = {}
    for name, path in files.items():
        if Path(name).name in ("_manifest.json", "codebook.json"):
            body = json.loads(path.read_text(encoding="utf-8"))
            kind = "" if Path(name).name == "_manifest.json" else "units in "
            for key in HASHES:
                if isinstance(body.get(key), str):
                    roles.setdefault(body[key], f"<{key} of {kind}{Path(name).parent.as_posix()}>")
    return roles
