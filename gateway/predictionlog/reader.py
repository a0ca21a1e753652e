"""Read the prediction log back, while gateways write it and a compaction moves it, or after."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.foundation.clock import EARLIEST_US
from gateway.errors import PredictionLogError
from gateway.predictionlog.completeness import Gap, WorkerState, worker_states
from gateway.predictionlog.contents import Contents, compacted_notes, opened
from gateway.predictionlog.layout import Constants
from gateway.predictionlog.record import LoggedPrediction
from gateway.predictionlog.time_span import TimeSpan

BATCH_ROWS = 32_768
"""Most rows of a record batch that is read from a Parquet file."""

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
    "service",
    "service_digest",
)
_GROUPS = {
    "view_digests": "view_digest.",
    "function_digests": "function_digest.",
    "sequences": "s.",
    "keys": "key.",
    "requests": "request.",
    "features": "feature.",
    "statuses": "status.",
    "outputs": "output.",
}


class PredictionReader:
    """Read a prediction log: each record that was synced when the call began, once.

    While a call, or an iteration, is under way no segment is taken away; compactions go on.

    Parameters
    ----------
    root
        Folder of the log, as given to the writer.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def models(self) -> tuple[str, ...]:
        """Return the models of which something was logged, sorted."""
        with opened(self._root) as contents:
            return tuple(sorted({model for model, _ in _logged(contents)}))

    def versions(self, model: str) -> tuple[int, ...]:
        """Return the versions of a model of which something was logged, ascending."""
        with opened(self._root) as contents:
            return tuple(sorted(version for of, version in _logged(contents) if of == model))

    def schema(self, model: str, version: int) -> pa.Schema:
        """Return the columns of a version's records: those of all its files and segments, empty without any.

        Raises
        ------
        PredictionLogError
            If a column is of two types.
        """
        with opened(self._root) as contents:
            return self._schema(contents, model, version)

    def batches(
        self,
        model: str,
        version: int,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Iterate over the records of one version with ``since <= instant < until``, in bounded memory.

        Records come in no promised order, roughly that in which they were written; sort by ``instant``, or by
        ``worker`` and ``sequence``. All batches have one schema: a column that a record does not have is null.

        Parameters
        ----------
        columns
            Names of the columns to read, in the order wanted; all of them by default.

        Raises
        ------
        PredictionLogError
            If there is no such column, or one is of two types.
        """
        with opened(self._root) as contents:
            schema = _chosen(self._schema(contents, model, version), columns, self._root)
            span = TimeSpan(since_us, until_us)
            for batch in _all_batches(contents, model, version, {*schema.names, "instant"}, span):
                kept = span.of(batch)
                if kept.num_rows:
                    yield _in_schema(kept, schema)

    def to_arrow(
        self,
        model: str,
        *,
        version: int | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the records of a model, of all its versions unless one is named.

        A column that a version does not have is null in its rows.

        Raises
        ------
        PredictionLogError
            If nothing of the model or version was logged, or two versions give a column two types.
        """
        versions = [each for each in self.versions(model) if version in (None, each)]
        if not versions:
            raise self._nothing(model, version)
        tables = []
        for each in versions:
            schema = self.schema(model, each)
            wanted = None if columns is None else [name for name in columns if name in schema.names]
            found = self.batches(model, each, since_us=since_us, until_us=until_us, columns=wanted)
            tables.append(pa.Table.from_batches(found, _chosen(schema, wanted, self._root)))
        try:
            return pa.concat_tables(tables, promote_options="default")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise PredictionLogError(
                f"the versions of model {model} cannot stand in one table: {error}",
                where=str(self._root / model),
                mend="read one version at a time",
            ) from error

    def tail(self, model: str, rows: int) -> pa.Table:
        """Return the last records of a model, at most ``rows``, by instant, worker and sequence; in bounded memory.

        Raises
        ------
        PredictionLogError
            If nothing of the model was logged, or two versions give a column two types.
        """
        last = self.to_arrow(model, until_us=EARLIEST_US)
        for version in self.versions(model):
            for batch in self.batches(model, version):
                both = pa.concat_tables([last, pa.Table.from_batches([batch])], promote_options="default")
                last = both.sort_by([(name, "ascending") for name in ("instant", "worker", "sequence")])
                last = last.slice(max(0, last.num_rows - rows)).combine_chunks()
        return last

    def find(self, prediction_id: str, *, model: str | None = None) -> LoggedPrediction | None:
        """Return the record of a prediction, ``None`` if it is not in the log (yet).

        Reads only the parts of files whose least and greatest identifiers enclose it, and all segments; naming the
        model spares the other models' files.
        """
        with opened(self._root) as contents:
            for of, version in _logged(contents):
                if model in (None, of):
                    found = self._find(contents, of, version, prediction_id)
                    if found is not None:
                        return found
        return None

    def workers(self) -> tuple[WorkerState, ...]:
        """Return what the log has of each run of a worker, by name, with the gaps in its numbers.

        Reads two columns of all there is, and needs an eighth of a byte of memory per record at most.
        """
        with opened(self._root) as contents:
            return self.workers_in(contents)

    def workers_in(self, contents: Contents) -> tuple[WorkerState, ...]:
        """Return what some of the log has of each worker."""
        running = frozenset(segment.worker for segment in contents.segments if segment.growing())
        notes = [{"worker": each.worker, **note} for each in contents.segments for note in each.notes()]
        return worker_states(_numbers(contents), [*compacted_notes(self._root), *notes], running)

    def gaps(self) -> tuple[Gap, ...]:
        """Return the sequence numbers that are missing, over all models, by worker and number.

        What a worker that broke off lost at its very end leaves no gap; `workers` tells which did.
        """
        return tuple(gap for state in self.workers() for gap in state.gaps)

    def _find(self, contents: Contents, model: str, version: int, prediction_id: str) -> LoggedPrediction | None:
        for path in contents.files_of(model, version):
            table = pq.read_table(path, filters=pc.field("prediction_id") == prediction_id, partitioning=None)
            if table.num_rows:
                return _prediction(table)
        for segment in contents.segments:
            for layout, varying in segment.rows(_is(model, version)):
                found = varying.filter(pc.equal(varying.column("prediction_id"), prediction_id))
                if found.num_rows:
                    return _prediction(pa.Table.from_batches([layout.full(found, segment.worker)]))
        return None

    def _schema(self, contents: Contents, model: str, version: int) -> pa.Schema:
        schemas = [pq.read_schema(path) for path in contents.files_of(model, version)]
        wanted = _is(model, version)
        for segment in contents.segments:
            schemas += [layout.full_schema for layout in segment.layouts() if wanted(layout.constants)]
        try:
            return pa.unify_schemas([pa.schema([]), *schemas])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise PredictionLogError(
                f"version {version} of model {model} was logged with two meanings: {error}",
                where=str(self._root / model / f"v{version}"),
                mend="its registry was begun anew: move the log of the old one, or its days, elsewhere",
            ) from error

    def _nothing(self, model: str, version: int | None) -> PredictionLogError:
        what = f"model {model}" if version is None else f"version {version} of model {model}"
        known = ", ".join(self.models()) or "no model"
        return PredictionLogError(
            f"nothing of {what} was logged", where=str(self._root), mend=f"there are records of {known}"
        )


def _logged(contents: Contents) -> list[tuple[str, int]]:
    """Return the models and versions that there is something of, sorted."""
    filed = {(path.parts[-4], int(path.parts[-3][1:])) for path in contents.files}
    in_segments = {
        (layout.constants.model, layout.constants.version) for each in contents.segments for layout in each.layouts()
    }
    return sorted(filed | in_segments)


def _all_batches(
    contents: Contents, model: str, version: int, names: set[str], span: TimeSpan
) -> Iterator[pa.RecordBatch]:
    for path in contents.files_of(model, version):
        if span.meets_day(path):
            with pq.ParquetFile(path) as file:
                present = [name for name in file.schema_arrow.names if name in names]
                yield from file.iter_batches(BATCH_ROWS, row_groups=span.row_groups(file), columns=present)
    for segment in contents.segments:
        for layout, varying in segment.rows(_is(model, version)):
            yield layout.full(varying, segment.worker, names)


def _numbers(contents: Contents) -> Iterator[tuple[str, NDArray[np.int64]]]:
    for path in contents.files:
        with pq.ParquetFile(path, read_dictionary=["worker"]) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["worker", "sequence"]):
                yield from _by_worker(batch)
    for segment in contents.segments:
        for _, varying in segment.rows(lambda _: True):
            yield segment.worker, varying.column("sequence").to_numpy()


def _by_worker(batch: pa.RecordBatch) -> Iterator[tuple[str, NDArray[np.int64]]]:
    workers = batch.column("worker")
    codes, sequences = workers.indices.to_numpy(), batch.column("sequence").to_numpy()
    for code, worker in enumerate(workers.dictionary.to_pylist()):
        yield worker, sequences[codes == code]


def _is(model: str, version: int) -> Callable[[Constants], bool]:
    return lambda constants: constants.model == model and constants.version == version


def _chosen(schema: pa.Schema, columns: Sequence[str] | None, root: Path) -> pa.Schema:
    if columns is None or not schema.names:
        return schema
    for name in columns:
        if name not in schema.names:
            near = difflib.get_close_matches(name, schema.names, n=1)
            mend = f"did you mean {near[0]}?" if near else f"there are {', '.join(schema.names)}"
            raise PredictionLogError(f"the log has no column {name!r}", where=str(root), mend=mend)
    return pa.schema([schema.field(name) for name in columns])


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = set(batch.schema.names)
    arrays = [batch.column(each.name) if each.name in names else pa.nulls(batch.num_rows, each.type) for each in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _prediction(table: pa.Table) -> LoggedPrediction:
    row = {name: table[name][0].as_py() for name in table.column_names if name != "instant"}
    named: dict[str, Any] = {
        group: {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}
        for group, prefix in _GROUPS.items()
    }
    instant_us = table["instant"][0].cast(pa.int64()).as_py()
    return LoggedPrediction(**named, **{name: row[name] for name in _SCALARS}, instant_us=instant_us)
