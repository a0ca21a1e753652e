"""What a model's requests look like: compiled once when its route is loaded, then held to every request.

::

    {"keys": {...}, "inputs": {...}, "options": {...}}               one row
    {"rows": [{"keys": {...}, "inputs": {...}}, ...], "options": {...}}   a batch
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from featurestore.definitions import FeatureService
from featurestore.foundation.errors import OnlineStoreError
from featurestore.online.keys import key_encoder
from featurestore.semantics.json_value import UnreadableValue, reader, shown
from featurestore.semantics.value import DType
from gateway.errors import ModelLoadError, RequestInvalid, RequestTooLarge

_SINGLE = ("keys", "inputs", "options")
_BATCH = ("rows", "options")
_ROW = ("keys", "inputs")


@dataclass(frozen=True, slots=True)
class Field:
    """One member of ``keys`` or ``inputs``."""

    name: str
    dtype: DType
    read: Callable[[Any], Any]
    nullable: bool


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for besides its predictions."""

    explain: bool = False
    version: int | None = None


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A request that fits: values in storage form, a tuple per row in the order of the shape's fields."""

    single: bool
    keys: list[tuple[Any, ...]]
    inputs: list[tuple[Any, ...]]
    options: Options


_NO_OPTIONS = Options()


class RequestShape:
    """The keys and inputs that every variant of a route needs together.

    A request has to satisfy all of a route's variants, as it cannot know which will answer.

    Parameters
    ----------
    model
        The model's name, for errors.
    services
        The feature services of the variants, the champion's first.

    Raises
    ------
    ModelLoadError
        If two of them want one name with different types.
    """

    def __init__(self, model: str, services: Sequence[FeatureService]) -> None:
        self.model = model
        self.keys = tuple(_key_field(name, dtype) for name, dtype in _union(model, map(join_keys, services)).items())
        self.inputs = tuple(
            Field(name, dtype, reader(dtype), nullable=True)
            for name, dtype in _union(model, map(request_inputs, services)).items()
        )

    def parse(self, body: object, row_limit: int) -> PredictRequest:
        """Read a decoded JSON body.

        Raises
        ------
        RequestInvalid
            If a member is unknown, absent or of the wrong type; ``pointer`` says which.
        RequestTooLarge
            If there are more than ``row_limit`` rows.
        """
        if type(body) is not dict:
            self._refuse(f"the body is {_kind(body)}, not an object", "", f"send {self._example()}")
        options = self._options(body["options"]) if "options" in body else _NO_OPTIONS
        if "rows" in body:
            self._only(body, _BATCH, "")
            return self._batch(body["rows"], options, row_limit)
        self._only(body, _SINGLE, "")
        keys, inputs = self._row(body, "")
        return PredictRequest(True, [keys], [inputs], options)

    def describe(self) -> dict[str, dict[str, str]]:
        """Return the types of keys and inputs by name, as plain data."""
        return {
            "keys": {field.name: str(field.dtype) for field in self.keys},
            "inputs": {field.name: str(field.dtype) for field in self.inputs},
        }

    def _batch(self, rows: object, options: Options, row_limit: int) -> PredictRequest:
        if type(rows) is not list or not rows:
            self._refuse(
                f"rows is {'an empty array' if rows == [] else _kind(rows)}",
                "/rows",
                f'send {{"rows": [{self._example()}]}}',
            )
        if len(rows) > row_limit:
            raise RequestTooLarge(
                f"{len(rows)} rows, and the limit is {row_limit}",
                where=f"model {self.model}",
                mend="send several requests, or raise [gateway] batch_limit_rows",
                pointer="/rows",
            )
        parsed = [self._checked_row(row, f"/rows/{number}") for number, row in enumerate(rows)]
        return PredictRequest(False, [keys for keys, _ in parsed], [inputs for _, inputs in parsed], options)

    def _checked_row(self, row: object, pointer: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        if type(row) is not dict:
            self._refuse(f"the row is {_kind(row)}, not an object", pointer, f"send {self._example()}")
        self._only(row, _ROW, pointer)
        return self._row(row, pointer)

    def _row(self, row: dict[str, Any], pointer: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        keys = self._members(row, "keys", self.keys, pointer)
        return keys, self._members(row, "inputs", self.inputs, pointer)

    def _members(self, row: dict[str, Any], part: str, fields: Sequence[Field], pointer: str) -> tuple[Any, ...]:
        given = row.get(part)
        if given is None and not fields and part not in row:
            return ()
        if type(given) is not dict:
            what = f"{part} is {_kind(given)}, not an object" if part in row else f"{part} is missing"
            self._refuse(what, pointer, f"send {self._example()}")
        values = tuple([self._member(given, each, part, pointer) for each in fields])
        if len(given) != len(fields):
            self._only(given, [each.name for each in fields], f"{pointer}/{part}")
        return values

    def _member(self, given: dict[str, Any], field: Field, part: str, pointer: str) -> Any:
        value = given.get(field.name)
        if value is None:
            if field.nullable and field.name in given:
                return None
            what = f"{part[:-1]} {field.name} is {'null' if field.name in given else 'missing'}"
            at = f"{pointer}/{part}" + (f"/{_escaped(field.name)}" if field.name in given else "")
            null = ", or null if there is none" if field.nullable else ""
            self._refuse(what, at, f"add {field.name}, a value of type {field.dtype}{null}")
        try:
            return field.read(value)
        except UnreadableValue as error:
            at = f"{pointer}/{part}/{_escaped(field.name)}"
            self._refuse(f"{part[:-1]} {field.name} is of type {field.dtype}: {error}", at, error.mend)

    def _options(self, given: object) -> Options:
        if type(given) is not dict:
            self._refuse(
                f"options is {_kind(given)}, not an object", "/options", 'send {"explain": true} or leave it out'
            )
        self._only(given, ("explain", "version"), "/options")
        explain, version = given.get("explain", False), given.get("version")
        if type(explain) is not bool:
            self._refuse(f"explain is {shown(explain)}, not a boolean", "/options/explain", "send true or false")
        if "version" in given and (type(version) is not int or version < 1):
            self._refuse(
                f"version is {shown(version)}, not a version",
                "/options/version",
                "send a whole number from 1, or leave it out",
            )
        return Options(explain, version)

    def _only(self, given: Mapping[str, Any], known: Sequence[str], pointer: str) -> None:
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                allowed = f"use only {', '.join(known)}" if known else "leave it out"
                mend = f"did you mean {near[0]}?" if near else allowed
                self._refuse(f"{shown(name)} is unknown here", f"{pointer}/{_escaped(name)}", mend)

    def _example(self) -> str:
        parts = {"keys": self.keys, "inputs": self.inputs}
        return "{" + ", ".join(f'"{part}": {_listed(fields)}' for part, fields in parts.items() if fields) + "}"

    def _refuse(self, what: str, pointer: str, mend: str) -> NoReturn:
        raise RequestInvalid(what, where=f"model {self.model}", mend=mend, pointer=pointer)


def join_keys(service: FeatureService) -> dict[str, DType]:
    """Return the join keys of a service's views with their types, in the order the service first needs them."""
    return _agreed(service, ((view.entity.join_key, view.entity.dtype) for view in service.views))


def request_inputs(service: FeatureService) -> dict[str, DType]:
    """Return the request values of a service with their types, in the order the service first needs them."""
    return {request.name: request.dtype for request in service.requests}


def _agreed(service: FeatureService, pairs: Iterable[tuple[str, DType]]) -> dict[str, DType]:
    agreed: dict[str, DType] = {}
    for name, dtype in pairs:
        if agreed.setdefault(name, dtype) != dtype:
            raise ModelLoadError(
                f"two entities of service {service.name} call their join key {name}, as {agreed[name]} and {dtype}",
                mend="rename one of the join keys",
            )
    return agreed


def _union(model: str, parts: Iterable[Mapping[str, DType]]) -> dict[str, DType]:
    union: dict[str, DType] = {}
    for part in parts:
        for name, dtype in part.items():
            if union.setdefault(name, dtype) != dtype:
                raise ModelLoadError(
                    f"champion and challenger take {name} as {union[name]} and as {dtype}",
                    where=f"route of model {model}",
                    mend="rename it in one of their services",
                )
    return union


def _key_field(name: str, dtype: DType) -> Field:
    read = reader(dtype)
    if dtype.name != "string":
        return Field(name, dtype, read, nullable=False)
    encode = key_encoder(dtype, name)

    def read_key(value: Any) -> Any:
        key = read(value)
        try:
            encode(key)
        except OnlineStoreError as error:
            raise UnreadableValue(error.what, error.mend or "send a shorter key") from None
        return key

    return Field(name, dtype, read_key, nullable=False)


Kind = Literal["null", "a boolean", "a number", "a string", "an array", "an object"]


def _kind(value: object) -> Kind:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def _listed(fields: Sequence[Field]) -> str:
    return "{" + ", ".join(f'"{each.name}": <{each.dtype}>' for each in fields) + "}"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
