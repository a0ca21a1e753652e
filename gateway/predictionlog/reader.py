"""Read the prediction log back, while gateways write it or after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from gateway.errors import PredictionLogError
from gateway.predictionlog.columns import INSTANT
from gateway.predictionlog.record import LoggedPrediction

_SCALARS = (
    "prediction_id",
    "request_id",
    "model",
    "version",
    "record_hash",
    "variant",
    "route_revision",
    "degraded",
    "worker",
    "sequence",
)
_GROUPS = {
    "sequences": "s.",
    "keys": "key.",
    "requests": "request.",
    "features": "feature.",
    "statuses": "status.",
    "outputs": "output.",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers ``first`` to ``last`` of a worker, both included, that are not in the log."""

    worker: str
    first: int
    last: int


class PredictionReader:
    """Read a prediction log; sees the files that are whole at the moment of the call.

    Parameters
    ----------
    root
        Folder of the log, as given to the writer.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def models(self) -> tuple[str, ...]:
        """Return the models that have a folder in the log, sorted."""
        return tuple(sorted(path.name for path in self._root.glob("*") if path.is_dir()))

    def versions(self, model: str) -> tuple[int, ...]:
        """Return the versions of a model that have a folder in the log, ascending."""
        return tuple(sorted(int(path.name[1:]) for path in (self._root / model).glob("v*") if path.is_dir()))

    def batches(
        self, model: str, version: int, *, since_us: int | None = None, until_us: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Iterate over the records of one version with ``since <= instant < until``, a piece of a file at a time.

        The order is that of the files' names, which no one should rely on: sort by ``instant``, or by
        ``worker`` and ``sequence``.
        """
        dataset = self._dataset(model, version)
        if dataset is not None:
            yield from dataset.to_batches(filter=_between(since_us, until_us))

    def to_arrow(
        self,
        model: str,
        *,
        version: int | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
    ) -> pa.Table:
        """Return the records of a model, of all its versions unless one is named.

        A column that a version does not have is null in its rows.

        Raises
        ------
        PredictionLogError
            If nothing of the model or version was logged, or two versions give a column two types.
        """
        versions = self.versions(model) if version is None else (version,)
        found = [self._dataset(model, each) for each in versions]
        tables = [each.to_table(filter=_between(since_us, until_us)) for each in found if each is not None]
        if not tables:
            raise self._nothing(model, version)
        try:
            return pa.concat_tables(tables, promote_options="default")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise PredictionLogError(
                f"the versions of model {model} cannot stand in one table: {error}",
                where=str(self._root / model),
                mend="read one version at a time",
            ) from error

    def find(self, prediction_id: str, *, model: str | None = None) -> LoggedPrediction | None:
        """Return the record of a prediction, ``None`` if it is not in the log (yet).

        Reads only the parts of files whose least and greatest identifiers enclose it; naming the model spares
        the other models' files.
        """
        wanted = pc.field("prediction_id") == prediction_id
        for each in self.models() if model is None else (model,):
            for version in self.versions(each):
                dataset = self._dataset(each, version)
                table = None if dataset is None else dataset.to_table(filter=wanted)
                if table is not None and table.num_rows:
                    return _prediction(table)
        return None

    def gaps(self) -> tuple[Gap, ...]:
        """Return the sequence numbers that are missing between a worker's records, over all models.

        What a worker lost at its very end leaves no later record, and so no gap.
        """
        seen: dict[str, list[int]] = {}
        for model in self.models():
            for version in self.versions(model):
                dataset = self._dataset(model, version)
                for batch in () if dataset is None else dataset.to_batches(columns=["worker", "sequence"]):
                    for worker, sequence in zip(*batch.to_pydict().values(), strict=True):
                        seen.setdefault(worker, []).append(sequence)
        return tuple(gap for worker, sequences in sorted(seen.items()) for gap in _gaps(worker, sorted(sequences)))

    def _dataset(self, model: str, version: int) -> ds.Dataset | None:
        files = sorted(str(path) for path in (self._root / model / f"v{version}").glob("date=*/*.parquet"))
        if not files:
            return None
        schemas = [pq.read_schema(file) for file in files]
        return ds.dataset(files, format="parquet", schema=pa.unify_schemas(schemas))

    def _nothing(self, model: str, version: int | None) -> PredictionLogError:
        what = f"model {model}" if version is None else f"version {version} of model {model}"
        known = ", ".join(self.models()) or "no model"
        return PredictionLogError(
            f"nothing of {what} was logged", where=str(self._root), mend=f"there are records of {known}"
        )


def _between(since_us: int | None, until_us: int | None) -> ds.Expression | None:
    after = None if since_us is None else pc.field("instant") >= pa.scalar(since_us, INSTANT)
    before = None if until_us is None else pc.field("instant") < pa.scalar(until_us, INSTANT)
    return after & before if after is not None and before is not None else after if before is None else before


def _prediction(table: pa.Table) -> LoggedPrediction:
    row = {name: table[name][0].as_py() for name in table.column_names if name != "instant"}
    named: dict[str, Any] = {
        group: {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}
        for group, prefix in _GROUPS.items()
    }
    instant_us = table["instant"][0].cast(pa.int64()).as_py()
    return LoggedPrediction(**named, **{name: row[name] for name in _SCALARS}, instant_us=instant_us)


def _gaps(worker: str, sequences: list[int]) -> Iterator[Gap]:
    expected = 0
    for sequence in sequences:
        if sequence > expected:
            yield Gap(worker, expected, sequence - 1)
        expected = sequence + 1
