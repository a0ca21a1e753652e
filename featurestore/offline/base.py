"""What an offline store does, whatever engine it runs on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import FeatureView, Source
from featurestore.offline.audit_rows import AuditRows
from featurestore.offline.point_in_time.join import ViewFrame
from featurestore.offline.view_rows import ViewRows
from featurestore.semantics.aggregate import Aggregate, EventLog
from featurestore.semantics.value import Column

__all__ = ["AuditRows", "OfflineStore", "ViewFrame", "ViewRows"]


class OfflineStore(Protocol):
    """History, readable as of any commit sequence.

    A *commit sequence* s counts a source's imports from 1; a read at s sees the commits 1 to s and no later one. An
    s of 0 sees nothing.
    """

    @property
    def engine(self) -> str:
        """The engine's name and version, for records."""
        ...

    def latest_sequence(self, source: Source) -> int:
        """Return the source's newest commit sequence, 0 if nothing was imported."""
        ...

    def snapshot_digest(self, source: Source, s: int) -> str:
        """Return the digest that names the source's data up to ``s``."""
        ...

    def keys(self, view: FeatureView, s: int) -> Column:
        """Return every join key that any version of any event ever had, ascending, without null.

        Keys whose events were all withdrawn are among them: what serving holds of them must be replaced.
        """
        ...

    def view_rows(self, view: FeatureView, s: int) -> ViewRows:
        """Return the view's rows of all keys, read once for many questions; they are held in memory."""
        ...

    def features_at(self, view: FeatureView, keys: Column, instants_us: NDArray[np.int64], s: int) -> ViewFrame:
        """Return the view's features at each (key, instant), in the given order, TTL not applied.

        Parameters
        ----------
        keys, instants_us
            Join keys, without null, and instants, microseconds UTC, of equal length.
        s
            The commit sequence to read at.
        """
        ...

    def features_at_each(
        self, view: FeatureView, keys: Column, instants_us: NDArray[np.int64], sequences: NDArray[np.int64]
    ) -> ViewFrame:
        """Return the view's features at each (key, instant, s), in the given order, TTL not applied.

        The same as `features_at` for each s of ``sequences`` apart, in one go; see `AuditRows`.
        """
        ...

    def audit_rows(self, view: FeatureView) -> AuditRows:
        """Return the view's rows of all keys and commits, read once for many such questions; held in memory."""
        ...

    def aggregates_at(
        self,
        view: FeatureView,
        aggregates: Mapping[str, Aggregate],
        keys: Column,
        instants_us: NDArray[np.int64],
        s: int,
        *,
        lag_us: int = 0,
    ) -> ViewFrame:
        """Return other aggregates over the view's rows.

        With a lag L the window at t is ``(t - L - W, t - L]``, over what is known at t: what a label needs at the
        instant it matures.
        """
        ...

    def logs(self, view: FeatureView, keys: Column, as_of_us: int, s: int) -> Iterator[tuple[int, EventLog]]:
        """Give, for each key in order, its position and the versions that may matter at any t >= ``as_of_us``.

        These are the versions not yet replaced that are younger than the longest window, and those that can be the
        latest visible one.
        """
        ...

    def is_streamed(self, source: Source) -> bool:
        """Tell whether the source's stream is open, whose owner alone writes its history from then on."""
        ...

    def newest_versions(self, source: Source, since_us: int, s: int) -> Iterator[pa.Table]:
        """Give the newest version of each event up to commit ``s``, of those that happened after ``since_us``.

        In pieces and in no particular order: the source's columns, ``__event_us``, and ``__deleted`` for tombstones.
        """
        ...

    def availables_after(self, source: Source, t_us: int) -> frozenset[int]:
        """Return the instants after ``t_us``, microseconds UTC, at which versions of any commit become available."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...
