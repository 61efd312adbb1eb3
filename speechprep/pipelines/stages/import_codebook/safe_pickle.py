"""Safe reader of pickles: reads `joblib.dump` and `pickle.dump` streams as plain data, without executing anything.

Ordinary unpickling executes code of the file. This reader walks the opcodes (`pickletools.genops`) over a stack of
plain values. A class or function becomes its name (`Global`). An object becomes a `Record` of the call and its
arguments. Nothing is imported or called, so a hostile file is only read or refused.

Files of joblib before 0.10 keep their arrays beside the pickle, and are refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from speechprep.errors import first_line
from speechprep.pipelines.stages.import_codebook.pickle_values import (
    CountingReader,
    Damaged,
    Global,
    Record,
    array_behind,
    array_of,
    array_of_state,
    dtype_of,
    shape_of,
)

MAX_STEPS = 1_000_000  # opcodes; a k-means model has some hundred
_WRAPPER, _OLD_WRAPPERS = "NumpyArrayWrapper", ("NDArrayWrapper", "ZNDArrayWrapper")
_MARK = object()


def load(file: IO[bytes]) -> Any:
    """The value of a pickle as plain data: numbers, strings, containers, arrays, and `Global`, `Record`, `Skipped`.

    Raises:
        Damaged: not a pickle, a truncated pickle, or a pickle in need of real unpickling.
    """
    stream = CountingReader(file)
    value = _walk(stream)
    try:
        stream.skip_rest()  # the checksums of a packed file come last
    except (OSError, EOFError) as error:
        raise Damaged(first_line(error)[:160]) from None
    return value


def _walk(stream: CountingReader) -> Any:
    machine = _Machine(stream)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
            if number > MAX_STEPS:
                raise Damaged(f"it has more than {MAX_STEPS:,} opcodes, too many for a codebook")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except Damaged:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError, OSError) as error:
        reason = first_line(error)
        raise Damaged(f"{reason[:160]} (byte {stream.at:,})") from None
    raise Damaged("it ends without a STOP")


@dataclass
class _Machine:
    """The stack machine of pickle, over plain values."""

    stream: CountingReader
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        """The topmost value."""
        value = self.stack.pop()
        if value is _MARK:
            raise Damaged("a mark where a value is needed")
        return value

    def pop_to_mark(self) -> list[Any]:
        """The values above the topmost mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise Damaged("a mark is missing")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def step(self, name: str, argument: Any) -> None:
        """One opcode."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _MEMO_PUT:
            self.memo[int(argument)] = self.stack[-1]
        elif name in _MEMO_GET:
            self.stack.append(self.memo[int(argument)])
        elif name not in ("PROTO", "FRAME"):
            handler: Callable[[Any], None] | None = getattr(self, f"op_{name.lower()}", None)
            if handler is None:
                raise Damaged(f"the opcode {name} cannot be read without running code")
            handler(argument)

    def op_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_pop(self, _: Any) -> None:
        self.stack.pop()

    def op_pop_mark(self, _: Any) -> None:
        self.pop_to_mark()

    def op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    # -- containers --------------------------------------------------------------------------------------------------

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_to_mark()))

    def op_tuple1(self, _: Any) -> None:
        self.stack.append((self.pop(),))

    def op_tuple2(self, _: Any) -> None:
        second, first = self.pop(), self.pop()
        self.stack.append((first, second))

    def op_tuple3(self, _: Any) -> None:
        third, second, first = self.pop(), self.pop(), self.pop()
        self.stack.append((first, second, third))

    def op_list(self, _: Any) -> None:
        self.stack.append(self.pop_to_mark())

    op_frozenset = op_list  # members may be unhashable here

    def op_append(self, _: Any) -> None:
        self._extend([self.pop()])

    def op_appends(self, _: Any) -> None:
        self._extend(self.pop_to_mark())

    op_additems = op_appends

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):  # the content of list subclasses is dropped
            self.stack[-1].extend(items)

    def op_dict(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append({})
        self._set(items)

    def op_setitem(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def op_setitems(self, _: Any) -> None:
        self._set(self.pop_to_mark())

    def _set(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update({key: value for key, value in pairs if isinstance(key, str)})

    # -- classes, functions and calls ----------------------------------------------------------------------------------

    def op_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(Global(module, name))

    def op_stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Damaged("a class without a name")
        self.stack.append(Global(module, name))

    def op_reduce(self, _: Any) -> None:
        args, what = self.pop(), self.pop()
        self.stack.append(_called(what, args))

    def op_newobj(self, _: Any) -> None:
        args, what = self.pop(), self.pop()
        self.stack.append(Record(what, args))

    def op_newobj_ex(self, _: Any) -> None:
        self.pop()
        self.op_newobj(None)

    def op_obj(self, _: Any) -> None:
        what, *args = self.pop_to_mark()
        self.stack.append(Record(what, tuple(args)))

    def op_inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(Record(Global(module, name), tuple(self.pop_to_mark())))

    def op_build(self, _: Any) -> None:
        state, built = self.pop(), self.stack[-1]
        if not isinstance(built, Record):
            return
        built.state = state
        what = built.what
        if isinstance(what, Global) and "joblib" in what.module and what.name in _OLD_WRAPPERS:
            raise Damaged(
                "it was written by joblib before 0.10, which keeps arrays in files beside it; "
                "load and dump it once with a newer joblib"
            )
        if isinstance(what, Global) and "joblib" in what.module and what.name == _WRAPPER:
            self.stack[-1] = array_behind(self.stream, state, _walk)
        elif isinstance(what, Global) and what.name == "_reconstruct" and what.module.startswith("numpy"):
            self.stack[-1] = array_of_state(state)


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_MEMO_PUT, _MEMO_GET = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
_LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip


def _called(what: Any, args: Any) -> Any:
    """Result of a call: a record; the data itself for the few calls with data alone."""
    if isinstance(what, Global) and isinstance(args, tuple) and args:
        if what.name == "_reconstructor" and what.module in ("copyreg", "copy_reg"):  # how protocols 0 and 1 make one
            return Record(args[0])
        if what.name == "_frombuffer" and what.module.startswith("numpy") and len(args) == 4:  # protocol 5
            data, dtype, shape, order = args
            if isinstance(data, bytes | bytearray):
                return array_of(bytes(data), dtype_of(dtype), shape_of(shape), order)
        if what == Global("_codecs", "encode") and isinstance(args[0], str):  # bytes in protocols 0 to 2
            return args[0].encode("latin-1")
    return Record(what, args)
