"""Pickle files of other projects: every needed value is read, and no code in them runs."""

from __future__ import annotations

import io
import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from speechprep.pipelines.stages.import_codebook import pickle_values, safe_pickle
from speechprep.pipelines.stages.import_codebook.pickle_values import Damaged, Global, Record, Skipped
from speechprep.pipelines.stages.import_codebook.safe_pickle import load


class Runs:
    """What a hostile file holds: unpickling it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def dumped(value: Any, protocol: int | None = None, **how: Any) -> io.BytesIO:
    file = io.BytesIO()
    joblib.dump(value, file, protocol=protocol, **how)
    file.seek(0)
    return file


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol_come_through(protocol: int) -> None:
    value = {"a": [1, -2, 2**70, 1.5, None, True], "b": ("x\u00e9\n", b"\x00\xff"), "c": {"d": []}, "t": (1,), "e": ()}
    for file in (dumped(value, protocol), io.BytesIO(pickle.dumps(value, protocol=protocol))):
        assert load(file) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_matrices_of_floats_are_equal_to_the_bit(protocol: int, dtype: str, order: str) -> None:
    matrix = np.asarray(np.random.default_rng(0).standard_normal((7, 5)), dtype, order=order)  # type: ignore[call-overload]
    for file in (dumped(matrix, protocol), io.BytesIO(pickle.dumps(matrix, protocol=protocol))):
        found = load(file)
        assert found.shape == (7, 5)
        assert np.ascontiguousarray(found, matrix.dtype).tobytes() == np.ascontiguousarray(matrix).tobytes()


def test_what_follows_an_array_that_is_passed_over_is_still_read() -> None:
    others = [np.arange(1000), np.array(3.5), np.zeros((2, 3, 4)), np.array(["a", "b"], object), np.zeros((0, 4))]
    wanted = np.ones((2, 2), np.float32)
    *skipped, empty, last = load(dumped([*others, wanted]))
    assert skipped == [
        Skipped("int64", (1000,)), Skipped("float64", ()), Skipped("float64", (2, 3, 4)), Skipped("object", (2,)),
    ]  # fmt: skip
    assert empty.shape == (0, 4)
    assert np.array_equal(last, wanted)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_file_is_told_of_and_never_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "it-ran"
    for file in (dumped(Runs(mark), protocol), io.BytesIO(pickle.dumps(Runs(mark), protocol=protocol))):
        found = load(file)
        assert isinstance(found, Record)
        assert found.what in (Global("posix", "system"), Global("nt", "system"))
        assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))
    assert mark.exists(), "the test's own hostile file is harmless"


def test_an_object_is_a_record_of_its_class_and_state() -> None:
    found = load(dumped(np.random.RandomState(0)))
    assert isinstance(found, Record)
    assert isinstance(found.what, Global)


HUGE = 2**62
HOSTILE = {
    "empty": b"",
    "no pickle": b"not a pickle at all",
    "no stop": b"\x80\x04N",
    "nothing on the stack": b"\x80\x04.",
    "mark as value": b"\x80\x04(.",
    "mark missing": b"\x80\x04Nt.",
    "memo missing": b"\x80\x04h\x05.",
    "persistent": b"\x80\x04Pfoo\n.",
    "extension": b"\x80\x04\x82\x01.",
    "out of band": b"\x80\x05\x97.",
    "huge string": b"\x80\x04\x8d" + (2**50).to_bytes(8, "little") + b".",
    "huge frame and end": b"\x80\x04\x95" + (2**50).to_bytes(8, "little") + b".",
    "class by a number": b"\x80\x04K\x01K\x02\x93.",
    "odd items": b"\x80\x04}(K\x01u.",
    "old joblib": b"\x80\x02cjoblib.numpy_pickle\nNDArrayWrapper\n)\x81}b.",
    "wrapper without shape": b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b.",
    "too many": b"\x80\x04" + b"N0" * (safe_pickle.MAX_STEPS // 2 + 1) + b"N.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_stream_that_cannot_be_read_is_one_error(name: str) -> None:
    with pytest.raises(Damaged):
        load(io.BytesIO(HOSTILE[name]))


def wrapped(dtype: bytes, shape: bytes) -> bytes:
    """A joblib array of protocol 2 whose bytes are missing."""
    kind = b"cnumpy\ndtype\n" + dtype + b"R"
    order = b"X\x05\x00\x00\x00orderX\x01\x00\x00\x00C"
    state = b"}(X\x05\x00\x00\x00dtype" + kind + b"X\x05\x00\x00\x00shape" + shape + order + b"u"
    return b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + b"b."


F4, BIG = b"(X\x02\x00\x00\x00f4t", b"\x8a\x08" + HUGE.to_bytes(8, "little")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (wrapped(F4, b"K\x05K\x05\x86"), "breaks off"),
        (wrapped(F4, BIG + b"K\x05\x86"), "impossible shape"),
        (wrapped(F4, b"J\xff\xff\xff\xffK\x05\x86"), "impossible shape"),
        (wrapped(F4, b"J\xff\xff\xff\x0fK\x7f\x86"), "memory"),
        (wrapped(b"(X\x02\x00\x00\x00V9t", b"K\x05K\x05\x86"), "dtype 'V9'"),
        (wrapped(b"(K\x01t", b"K\x05K\x05\x86"), "without a dtype"),
    ],
)
def test_an_array_that_cannot_be_is_one_error(data: bytes, says: str) -> None:
    with pytest.raises(Damaged, match=says):
        load(io.BytesIO(data))


def test_nested_values_that_would_take_for_ever_to_hash_or_print_cost_nothing() -> None:
    tower = b"N" + b"2\x86" * 200  # a pair of a pair of ... : 2**200 leaves
    for data in (
        b"}" + tower + b"Ns.",
        tower + b"2\x93.",
        tower + b")R.",
        b"cos\nsystem\n" + tower + b"R.",
        tower + b".",
    ):
        with suppress(Damaged):
            load(io.BytesIO(b"\x80\x04" + data))  # otherwise this ends by the timeout of pytest


def test_arrays_of_objects_in_arrays_of_objects_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_values, "MAX_DEPTH", 1)
    inner = wrapped(b"(X\x02\x00\x00\x00O8t", b"K\x01\x85")
    with pytest.raises(Damaged, match="within each other"):
        load(io.BytesIO(inner[:-1] + inner[:-1] + b"\x80\x02N." * 2 + b"."))


def test_a_bomb_is_stopped_before_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_values, "MAX_STREAM", 1 << 20)
    with pytest.raises(Damaged, match="unpacks to more"):
        load(dumped(np.zeros(1 << 20)))
