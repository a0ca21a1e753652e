"""How an event is told of: by its identity as the source has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.definitions import FeatureView, Source
from featurestore.offline import snapshot
from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.identity import identity_numbers
from featurestore.semantics.json_value import writer
from featurestore.semantics.value import Int64
from lifecycle.monitoring.skew_evidence import EventName


def event_name(root: Path) -> EventName:
    """Return what finds an event's identity from its number, in the offline store under ``root``.

    An Int64 identity is its number. Any other is looked up in the files that hold events of that instant.
    """

    def name(view: FeatureView, number: int, event_us: int) -> str:
        source = view.source
        if [source.schema[each] for each in source.identity] == [Int64]:
            return str(np.uint64(number).astype(np.int64))
        found = snapshot.latest(root, source)
        spans = [(file.min_event_us or 0, file.max_event_us or 0) for file in found.files]
        held = [path for path, (low, high) in zip(found.paths, spans, strict=True) if low <= event_us <= high]
        names = (_in_file(path, source, number, event_us) for path in held)
        return next((each for each in names if each is not None), f"number {number:016x}")

    return name


def _in_file(path: Path, source: Source, number: int, event_us: int) -> str | None:
    table = pq.read_table(path, columns=list(source.identity), filters=pc.field("__event_us") == event_us)
    columns = [from_arrow(table.column(each), source.schema[each]) for each in source.identity]
    for at in np.flatnonzero(identity_numbers(columns) == np.uint64(number)).tolist():
        return " ".join(str(writer(of.dtype)(of.values[at : at + 1].tolist()[0])) for of in columns)
    return None
