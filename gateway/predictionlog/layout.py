"""What all rows of a frame have in common: the constants of a batch, and the schema of what varies."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from gateway.predictionlog.record import PredictionBatch, ServiceDigests

LEADING = (
    "prediction_id",
    "request_id",
    "instant",
    "model",
    "version",
    "record_hash",
    "variant",
    "route_revision",
    "degraded",
    "worker",
    "sequence",
)
"""The columns that every file begins with, in order."""


@dataclass(frozen=True, slots=True)
class Constants:
    """What is one for all rows of a batch."""

    model: str
    version: int
    record_hash: str
    variant: str
    route_revision: int
    definitions: ServiceDigests

    @classmethod
    def of(cls, batch: PredictionBatch) -> Self:
        """Return those of a batch."""
        return cls(
            batch.model, batch.version, batch.record_hash, batch.variant, batch.route_revision, batch.definitions
        )

    def columns(self) -> dict[str, str | int]:
        """Return the value of each column that they stand for, without ``worker``."""
        definitions = self.definitions
        return {
            "model": self.model,
            "version": self.version,
            "record_hash": self.record_hash,
            "variant": self.variant,
            "route_revision": self.route_revision,
            "service": definitions.service,
            "service_digest": definitions.digest,
            **{f"view_digest.{name}": digest for name, digest in definitions.views},
            **{f"function_digest.{name}": digest for name, digest in definitions.functions},
        }


@dataclass(frozen=True)
class Layout:
    """The constants and the schema of frames of rows, as a segment holds them once."""

    constants: Constants
    schema: pa.Schema

    def encode(self) -> bytes:
        """Write it as bytes: a line of JSON, then the schema as an Arrow IPC message."""
        schema: bytes = self.schema.serialize().to_pybytes()
        return json.dumps(asdict(self.constants)).encode() + b"\n" + schema

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read it back from `encode`'s bytes."""
        line, _, schema = data.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        definitions: dict[str, Any] = told.pop("definitions")
        definitions |= {name: tuple(map(tuple, definitions[name])) for name in ("views", "functions")}
        constants = Constants(**told, definitions=ServiceDigests(**definitions))
        return cls(constants, pa.ipc.read_schema(pa.py_buffer(schema)))

    @cached_property
    def full_schema(self) -> pa.Schema:
        """The schema of `full`: that of the files that the rows end in."""
        return self.full(pa.RecordBatch.from_pylist([], self.schema), "").schema

    def full(self, varying: pa.RecordBatch, worker: str, names: Container[str] | None = None) -> pa.RecordBatch:
        """Return rows with the columns of `gateway.predictionlog.record` in their order, or those of ``names`` only."""
        constants = {**self.constants.columns(), "worker": worker}
        at = {name: number for number, name in enumerate(varying.schema.names)}
        order = [name for name in dict.fromkeys([*LEADING, *constants, *at]) if names is None or name in names]
        rows = varying.num_rows
        arrays = [
            varying.column(at[name]) if name in at else pa.repeat(pa.scalar(constants[name]), rows) for name in order
        ]
        return pa.RecordBatch.from_arrays(arrays, names=order)
