"""Training sets: a spine joined point in time with everything a feature service names, and a label.

A training set is a function of its spine, the digests of service and label, the commit sequence of every source and
the cut ``as_of``. Its record says these, and the digest of the resulting table, so that it can be rebuilt and shown to
be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.definitions import (
    Entity,
    FeatureRef,
    FeatureService,
    FeatureView,
    Label,
    Request,
    RequestFeature,
    Source,
)
from featurestore.foundation.durable_file import durable_path
from featurestore.foundation.errors import OfflineStoreError, SpineError
from featurestore.offline.base import OfflineStore
from featurestore.retrieval.invariance import check_invariance, leaves
from featurestore.retrieval.label_column import Reading, label_column
from featurestore.retrieval.spine import Spine, read_spine
from featurestore.retrieval.table_digest import table_digest
from featurestore.retrieval.training_record import (
    RECORD_FORMAT,
    TrainingRecordError,
    keep_record,
    load_record,
    load_spine,
    record_digest,
)
from featurestore.semantics.arrow_column import arrow_type, from_arrow, to_arrow
from featurestore.semantics.finalise import apply_ttl
from featurestore.semantics.value import Column

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps are done, and how many there are."""


class SourceEmpty(OfflineStoreError):
    """A training set would be joined with a source that has no history at all: every value would be missing."""

    code = "source-empty"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A spine with its features and its label.

    Attributes
    ----------
    table
        The spine's columns as given, then the service's outputs (``view.feature``, request features; request values
        stand on the spine already), then the label; rows in the spine's order.
    digest
        What it is known by, and rebuilt from.
    record
        Plain data: spine, service, label, sources and cut, and the engine that computed it.
    """

    table: pa.Table
    digest: str
    record: dict[str, Any]
    service: FeatureService
    label_definition: Label | None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    @property
    def columns(self) -> dict[str, Column]:
        """The service's outputs by name, in order."""
        return {output.name: self._column(output.name, output.dtype) for output in self.service.outputs}

    @property
    def label(self) -> Column | None:
        """The label, null where it has not matured; ``None`` without one."""
        wanted = self.label_definition
        return None if wanted is None else self._column(wanted.name, wanted.dtype)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with Arrow-backed columns, in which null stays null and int64 stays int64."""
        import pandas as pd

        return self.table.to_pandas(types_mapper=pd.ArrowDtype)

    def to_polars(self) -> pl.DataFrame:
        """Return a Polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def write_parquet(self, path: Path) -> None:
        """Write the table; the file is whole or absent."""
        with durable_path(path) as temporary:
            pq.write_table(self.table, temporary, compression="zstd")

    def _column(self, name: str, dtype: Any) -> Column:
        return from_arrow(self.table.column(name).cast(arrow_type(dtype)), dtype)


def build_training_set(
    service: FeatureService,
    spine: Any,
    offline: OfflineStore,
    *,
    as_of_us: int,
    root: Path,
    label: Label | None = None,
    timestamp_column: str = "timestamp",
    sequences: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """Join a spine with a service's features as of each row's own instant.

    Parameters
    ----------
    spine
        A Parquet file's path, an Arrow table, or a pandas or Polars frame with the join keys, an instant with its
        time zone, and the request values.
    as_of_us
        The cut: no row may be later, and labels that mature later are null. Microseconds UTC.
    root
        Where the record and the spine are kept.
    sequences
        Commit sequence by source name; by default each source's newest.

    Raises
    ------
    SpineError
        If the spine lacks a column, or a value does not fit.
    SourceEmpty
        If nothing was ever imported into a source that is needed.
    DefinitionError
        If a request feature's result for a row depends on the rows beside it, or its function fails.
    """
    work = _Work(service, label, offline, as_of_us, progress or _silent)
    taken = work.read(spine, timestamp_column)
    made = work.compute(taken, timestamp_column, sequences or {})
    keep_record(root, made.record, taken.table)
    return made


def rebuild_training_set(
    name: str,
    root: Path,
    offline: OfflineStore,
    *,
    services: Mapping[str, FeatureService],
    labels: Mapping[str, Label],
    progress: Progress | None = None,
) -> TrainingSet:
    """Compute a recorded training set again, from its spine, at its commit sequences.

    Raises
    ------
    TrainingRecordError
        If service or label are no longer defined as they were, a file was changed, or the result differs.
    """
    record = load_record(root, name)
    service = _unchanged(services, record["service"], "FeatureService")
    label = None if record["label"] is None else _unchanged(labels, record["label"], "Label")
    work = _Work(service, label, offline, record["as_of_us"], progress or _silent)
    taken = work.read(load_spine(root, record["spine_digest"]), record["timestamp_column"])
    sequences = {source: pin["s"] for source, pin in record["sources"].items()}
    again = work.compute(taken, record["timestamp_column"], sequences)
    if again.record["table_digest"] != record["table_digest"]:
        changed = [source for source, pin in record["sources"].items() if again.record["sources"][source] != pin]
        raise TrainingRecordError(
            f"training set {name} came out different" + (f": source {', '.join(changed)} changed" if changed else ""),
            where=f"computed by {record['engine']}, now by {again.record['engine']}",
            mend="verify the offline store's files, or go back to that engine",
        )
    return again


@dataclass(frozen=True)
class _Work:
    """One training set on its way."""

    service: FeatureService
    label: Label | None
    offline: OfflineStore
    as_of_us: int
    progress: Progress

    def read(self, spine: Any, timestamp_column: str) -> Spine:
        """Check a spine and take it in."""
        taken = read_spine(
            spine,
            entities=self.entities(),
            requests=self.requests(),
            timestamp_column=timestamp_column,
            as_of_us=self.as_of_us,
        )
        self.check_names(taken)
        return taken

    def compute(self, spine: Spine, timestamp_column: str, sequences: Mapping[str, int]) -> TrainingSet:
        """Join, and describe what was joined; nothing is stored."""
        pinned = self.pinned(sequences)
        table = self.table(spine, pinned)
        label = self.label
        record = {
            "format": RECORD_FORMAT,
            "service": {"name": self.service.name, "digest": self.service.digest},
            "label": None if label is None else {"name": label.name, "digest": label.digest},
            "sources": self.describe_sources(pinned),
            "spine_digest": table_digest(spine.table),
            "timestamp_column": timestamp_column,
            "as_of_us": self.as_of_us,
            "rows": len(spine),
            "table_digest": table_digest(table),
            "engine": self.offline.engine,
        }
        return TrainingSet(table, record_digest(record), record, self.service, label)

    def leaves(self) -> list[FeatureRef | Request]:
        """Return every stored feature and request value that is needed, each once."""
        extra = leaves(self.label.exceeds) if self.label and self.label.exceeds else []
        return list(dict.fromkeys([*self.service.refs, *self.service.requests, *extra]))

    def requests(self) -> list[Request]:
        return [leaf for leaf in self.leaves() if isinstance(leaf, Request)]

    def request_features(self) -> list[RequestFeature]:
        compared = self.label.exceeds if self.label else None
        extra = [compared] if isinstance(compared, RequestFeature) else []
        return list(dict.fromkeys([*self.service.request_features, *extra]))

    def refs_by_view(self) -> dict[FeatureView, list[FeatureRef]]:
        grouped: dict[FeatureView, list[FeatureRef]] = {}
        for leaf in self.leaves():
            if isinstance(leaf, FeatureRef):
                grouped.setdefault(leaf.view, []).append(leaf)
        return grouped

    def entities(self) -> list[Entity]:
        found = [view.entity for view in self.refs_by_view()] + ([self.label.entity] if self.label else [])
        return list({entity.name: entity for entity in found}.values())

    def sources(self) -> dict[str, Source]:
        views = [*self.refs_by_view(), *([self.label.of] if self.label else [])]
        return {view.source.name: view.source for view in views}

    def check_names(self, spine: Spine) -> None:
        """Refuse a spine that has a column of a name the result needs."""
        requests = {request.name for request in self.requests()}
        produced = [out.name for out in self.service.outputs if out.name not in requests]
        produced += [self.label.name] if self.label else []
        clash = [name for name in produced if name in spine.table.column_names]
        if clash:
            raise SpineError(
                f"the spine has a column {clash[0]!r}, the name of a result",
                where=spine.called,
                mend="rename or drop that column",
            )

    def pinned(self, sequences: Mapping[str, int]) -> dict[str, int]:
        """Return the commit sequence of each source; one without any commit is refused."""
        pinned = {
            name: sequences[name] if name in sequences else self.offline.latest_sequence(source)
            for name, source in self.sources().items()
        }
        for name, s in pinned.items():
            if s == 0 and name not in sequences:
                raise SourceEmpty(
                    "nothing was imported into it yet", where=f"source {name}", mend=f"run: unskew import {name}"
                )
        return pinned

    def describe_sources(self, pinned: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        sources = self.sources()
        return {
            name: {"s": s, "snapshot": self.offline.snapshot_digest(sources[name], s)} for name, s in pinned.items()
        }

    def table(self, spine: Spine, pinned: Mapping[str, int]) -> pa.Table:
        """Return the spine with outputs and label."""
        features = self.features(spine, pinned)
        check_invariance(self.request_features(), features)
        table = spine.table
        for name, column in self.service.evaluate(features).items():
            if name not in spine.requests:
                table = table.append_column(name, to_arrow(column))
        if self.label is not None:
            reading = Reading(self.offline, pinned[self.label.of.source.name], self.as_of_us)
            column = label_column(self.label, spine, reading, features)
            table = table.append_column(self.label.name, to_arrow(column))
        self.progress("done", self.steps, self.steps)
        return table

    @property
    def steps(self) -> int:
        return len(self.refs_by_view()) + (1 if self.label else 0)

    def features(self, spine: Spine, pinned: Mapping[str, int]) -> dict[str, Column]:
        """Return request values and view features by name, TTL applied."""
        columns = dict(spine.requests)
        for done, (view, refs) in enumerate(self.refs_by_view().items()):
            self.progress(f"view {view.name}", done, self.steps)
            wanted = {ref.feature.name: ref.feature.aggregate for ref in refs}
            keys = spine.keys[view.entity.name]
            frame = self.offline.aggregates_at(view, wanted, keys, spine.instants_us, pinned[view.source.name])
            for ref in refs:
                finalised = frame.columns[ref.feature.name], frame.statuses[ref.feature.name]
                latest = frame.latest_event_us, frame.has_latest
                columns[ref.name], _ = apply_ttl(finalised, spine.instants_us, *latest, view.ttl_us)
        return columns


def _unchanged(definitions: Mapping[str, Any], recorded: dict[str, str], noun: str) -> Any:
    found = definitions.get(recorded["name"])
    if found is None or found.digest != recorded["digest"]:
        state = "no longer exists" if found is None else "has changed since"
        raise TrainingRecordError(
            f"{noun} {recorded['name']} {state}",
            mend="check out the definitions the training set was built from",
        )
    return found


def _silent(what: str, done: int, of: int) -> None:
    """Tell nobody."""
