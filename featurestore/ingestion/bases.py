"""What a source's commits build upon: every view's rows out of history, and the event index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from featurestore.definitions import FeatureView, Source
from featurestore.ingestion.commit_record import AppliedRecord
from featurestore.ingestion.event_index import EventIndex
from featurestore.ingestion.micro_batch import tombstones
from featurestore.materialisation.history import stored_run
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import MaterialisationReport, materialise
from featurestore.offline.base import OfflineStore
from featurestore.offline.snapshot import source_folder
from featurestore.online.base import CommitWrite, OnlineStore
from featurestore.online.envelope import Stamp
from featurestore.semantics.arrow_column import from_arrow


def write_base(
    view: FeatureView,
    offline: OfflineStore,
    store: OnlineStore,
    root: Path,
    as_of_us: int,
    *,
    retention_us: int,
    rebuild: bool,
) -> MaterialisationReport:
    """Write a view's rows and the logs of all its keys, as of an instant, over all of history.

    Rows of a later instant than this one were stamped by a wrong clock, as nobody else commits: they are removed first.
    """
    ledger = Ledger(source_folder(root, view.source.name) / "bases")
    write = partial(materialise, view, offline, store, as_of_us, ledger, keep_logs=True, retention_us=retention_us)
    report = write(rebuild=rebuild)
    return write(rebuild=True) if report.skipped_newer else report


def base_instant_us(view: FeatureView, store: OnlineStore) -> int:
    """Return the instant of a view's base, from which on every key without a row had no events."""
    run = stored_run(view, store)
    return 0 if run is None else run.as_of_us


def fill_index(
    source: Source,
    index: EventIndex,
    offline: OfflineStore,
    store: OnlineStore,
    *,
    epoch: int,
    stamp: Stamp,
) -> int:
    """Write the newest version of every event of history that is within retention; return how many there are."""
    count = 0
    since_us = stamp.as_of_us - index.retention_us
    for table in offline.newest_versions(source, since_us, stamp.sequence):
        columns = {name: from_arrow(table.column(name), dtype) for name, dtype in source.schema.items()}
        event_us = columns[source.event_timestamp].values
        keys = index.encoded_keys(columns, np.arange(len(event_us)))
        at = index.stored_keys(index.identities(columns))
        gone = tombstones(source, columns).tolist()
        entries = index.entries(at, index.contents(columns), gone, keys, event_us=event_us, a_us=stamp.as_of_us)
        store.apply(CommitWrite(source.name, epoch, stamp.pack(), [], [], entries, []))
        count += len(entries)
    return count


def index_stands(index: EventIndex, applied: AppliedRecord) -> bool:
    """Return whether the event index holds all that commits to come need, as of the last one."""
    return applied.filled_us is not None and applied.index_columns == index.columns and _reaches_back(index, applied)


def missing_bases(views: Sequence[FeatureView], index: EventIndex, applied: AppliedRecord) -> list[FeatureView]:
    """Return the views that lack a commit, or whose logs lack versions that a correction may bring to light now.

    A log keeps what can still be corrected. Where that is to reach further back than before, because a view of a longer
    window follows the source or its lateness was raised, every log is written anew, out of history, which has all.
    """
    followed = applied.views if _reaches_back(index, applied) else ()
    return [view for view in views if view.row_digest[:16] not in followed]


def _reaches_back(index: EventIndex, applied: AppliedRecord) -> bool:
    return applied.retention_us >= index.retention_us
