"""What an ONNX file refers to outside itself, read from its bytes before anything executes them.

ONNX Runtime resolves external data against the working directory and knows operators of its own that no other
runtime has; a model with either is not the bytes that its digest names. The file is walked as protobuf wire format
(field numbers from onnx.proto of IR version 10), so that the gateway needs no training library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.errors import ModelLoadError

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

_NODE, _FUNCTION, _GRAPH, _ATTRIBUTE, _TENSOR, _SPARSE = "node", "function", "graph", "attribute", "tensor", "sparse"
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
_TENSOR_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14
_OP_TYPE, _NODE_DOMAIN = 4, 7
_FUNCTION_DOMAIN = 10
_UNPACKED_NUMBERS = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]*[\x00-\x7f])+", re.DOTALL)
"""Runs of an attribute's ``floats`` (field 7) and ``ints`` (field 8), which trees have by the million."""
_DEEPEST = 64


@dataclass
class References:
    """What a model file needs besides its own bytes and the standard operators."""

    external_tensors: list[str] = field(default_factory=list)
    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    @property
    def custom_operators(self) -> list[str]:
        """Operators that no standard domain has and the file itself does not define, as ``domain:name``."""
        known = STANDARD_DOMAINS | self.functions
        return sorted(f"{domain}:{name}" for domain, name in self.operators if domain not in known)


def read_references(model: bytes) -> References:
    """Walk a model file and collect what it refers to.

    Raises
    ------
    ModelLoadError
        If the bytes are not protobuf, or nested deeper than any exporter writes.
    """
    found = References()
    try:
        _walk(memoryview(model), "model", found, depth=0)
    except (IndexError, ValueError) as error:
        raise ModelLoadError(f"the file is not ONNX: {error}", mend="export the model again") from None
    return found


def _walk(message: memoryview, kind: str, found: References, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
    texts: dict[int, str] = {}
    external = False
    for number, value in _fields(message, skip_numbers=kind == _ATTRIBUTE):
        if isinstance(value, int):
            external |= kind == _TENSOR and number == _DATA_LOCATION and value == 1
        elif number in _CHILDREN[kind]:
            _walk(value, _CHILDREN[kind][number], found, depth + 1)
        elif kind == _TENSOR and number == _EXTERNAL_DATA:
            external = True
        elif (kind, number) in _TEXTS:
            texts[number] = str(value, "utf-8", "replace")
    if external:
        found.external_tensors.append(texts.get(_TENSOR_NAME, ""))
    if kind == _NODE:
        found.operators.add((texts.get(_NODE_DOMAIN, ""), texts.get(_OP_TYPE, "")))
    if kind == _FUNCTION:
        found.functions.add(texts.get(_FUNCTION_DOMAIN, ""))


_TEXTS = frozenset({(_TENSOR, _TENSOR_NAME), (_NODE, _OP_TYPE), (_NODE, _NODE_DOMAIN), (_FUNCTION, _FUNCTION_DOMAIN)})


def _fields(message: memoryview, *, skip_numbers: bool) -> Iterator[tuple[int, int | memoryview]]:
    position, end = 0, len(message)
    while position < end:
        run = _UNPACKED_NUMBERS.match(message, position) if skip_numbers else None
        if run is not None:
            position = run.end()
            continue
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        length, position = _length(message, position, wire)
        if position + length > end:
            raise ValueError("it is cut short")
        if wire == 2:
            yield tag >> 3, message[position : position + length]
        position += length


def _length(message: memoryview, position: int, wire: int) -> tuple[int, int]:
    if wire == 2:
        return _varint(message, position)
    if wire in (1, 5):
        return (8 if wire == 1 else 4), position
    raise ValueError(f"wire type {wire} at byte {position}")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {position}")
