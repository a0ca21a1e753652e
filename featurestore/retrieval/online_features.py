"""Features for serving: one feature service, a list of entity keys per entity, one instant.

A read is exact (law 1): at instant t it gives what a point-in-time join gives at t over the events committed up to the
sequence s that it reports. It costs one fetch for all views of the service; keys that are absent, or past their row's
next change, cost one more, together, and hot ones among these a third (`featurestore.online.view_reader`).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions.feature_service import FeatureService
from featurestore.definitions.feature_view import FeatureView
from featurestore.online.base import OnlineReader, OnlineStore
from featurestore.online.errors import EntityKeyError
from featurestore.online.row_codec import DecodedRows
from featurestore.online.view_reader import Unsettled, ViewReader
from featurestore.semantics.status import Status, expired
from featurestore.semantics.value import Column, Int64

_Steps = Generator[list[bytes], list[bytes | None], "ServiceRead"]


class OnlineFeatures:
    """Read the view features of one service; made once, used for every request.

    Parameters
    ----------
    service
        What is read: `FeatureService.refs`. Request values and request features are the caller's to add, by
        `FeatureService.evaluate`.

    Attributes
    ----------
    entities
        Names of the entities whose keys a read needs, sorted.
    """

    def __init__(self, service: FeatureService) -> None:
        self.service = service
        self._views = tuple(ServedView(service, view) for view in service.views)
        self.entities = tuple(sorted({view.entity.name for view in service.views}))

    async def read(self, reader: OnlineReader, keys: Mapping[str, Sequence[Any]], t_us: int) -> ServiceRead:
        """Read at ``t_us``, microseconds UTC.

        Parameters
        ----------
        reader
            The store's reader, or one that lets requests share a fetch.
        keys
            For each of `entities` its keys, all lists of one length; other entities are ignored.

        Raises
        ------
        EntityKeyError
            If an entity's keys are absent, of different lengths, or cannot be keys.
        NotMaterialised, ReadBeforeRow, RowFormatError, OnlineStoreUnavailable
            If the store cannot give the exact values.
        """
        steps = self._steps(keys, t_us)
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(await reader.fetch(wanted))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def read_blocking(self, store: OnlineStore, keys: Mapping[str, Sequence[Any]], t_us: int) -> ServiceRead:
        """Read as `read` does, from a thread that may wait."""
        steps = self._steps(keys, t_us)
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(store.get_many(wanted))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _steps(self, keys: Mapping[str, Sequence[Any]], t_us: int) -> _Steps:
        """Yield the keys of each fetch, take what was found, return the read."""
        n = self._rows(keys)
        found = yield [stored for served in self._views for stored in served.reader.row_keys(keys[served.entity])]
        begun = [
            served.reader.begin(keys[served.entity], found[i * n : i * n + n], t_us)
            for i, served in enumerate(self._views)
        ]
        while again := [(part, part.keys()) for part in begun if isinstance(part, Unsettled)]:
            more = iter((yield [stored for _, wanted in again for stored in wanted]))
            settled = {id(part): part.finish([next(more) for _ in wanted]) for part, wanted in again}
            begun = [settled.get(id(part), part) for part in begun]
        reads = [
            ViewRead(served, part, t_us)
            for served, part in zip(self._views, begun, strict=True)
            if isinstance(part, DecodedRows)
        ]
        return ServiceRead(n, t_us, reads)

    def _rows(self, keys: Mapping[str, Sequence[Any]]) -> int:
        """Return the number of rows that are asked for."""
        where = f"feature service {self.service.name!r}"
        for entity in self.entities:
            if entity not in keys:
                mend = f"give keys for {', '.join(self.entities)}"
                raise EntityKeyError(f"no keys are given for entity {entity!r}", where=where, mend=mend)
        lengths = {entity: len(keys[entity]) for entity in self.entities}
        if len(set(lengths.values())) > 1:
            what = f"the entities have different numbers of keys: {lengths}"
            raise EntityKeyError(what, where=where, mend="give one key of each entity per row")
        return next(iter(lengths.values()), 0)


class ServedView:
    """What a service needs of one view: where each of its features is in the view's rows."""

    def __init__(self, service: FeatureService, view: FeatureView) -> None:
        self.name = view.name
        self.entity = view.entity.name
        self.ttl_us = view.ttl_us
        self.reader = ViewReader(view)
        slots = {feature.name: slot for slot, feature in enumerate(view.features)}
        self.features = [(ref.name, slots[ref.feature.name]) for ref in service.refs_of(view)]


class ViewRead:
    """One view's part of a read.

    Attributes
    ----------
    statuses
        `Status` per row and feature of the view, shape ``(n, F)``, TTL applied.
    """

    def __init__(self, served: ServedView, rows: DecodedRows, t_us: int) -> None:
        self.served = served
        self.rows = rows
        self._t_us = t_us
        self.statuses = self._with_ttl()

    def columns(self) -> list[Column]:
        """Return the values of every feature of the view, TTL applied."""
        return self.rows.columns(self.statuses)

    def age_us(self) -> Column:
        """Return the age of the view's latest visible event at the read, null where there is none."""
        return Column(Int64, self._t_us - self.rows.latest_event_us, ~self.rows.has_latest)

    def _with_ttl(self) -> NDArray[np.uint8]:
        """Apply the TTL to all features in one step; `semantics.finalise.apply_ttl` says what it means."""
        rows, ttl_us = self.rows, self.served.ttl_us
        if ttl_us is None:
            return rows.statuses
        over = expired(self._t_us, rows.latest_event_us, ttl_us) & rows.has_latest
        return np.where(over[:, None], np.uint8(Status.EXPIRED), rows.statuses) if over.any() else rows.statuses


class ServiceRead:
    """What was read, TTL applied. Its parts are made when they are first asked for.

    Attributes
    ----------
    rows
        Number of rows n.
    instant_us
        The instant t that was read at.
    """

    def __init__(self, rows: int, instant_us: int, views: Sequence[ViewRead]) -> None:
        self.rows = rows
        self.instant_us = instant_us
        self._views = views

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Values of every needed feature by ``view.feature``, null where the status is not ``PRESENT``."""
        parts = [(view.served.features, view.columns()) for view in self._views]
        return {name: columns[slot] for features, columns in parts for name, slot in features}

    @cached_property
    def statuses(self) -> dict[str, NDArray[np.uint8]]:
        """`Status` of every needed feature by ``view.feature``."""
        return {name: view.statuses[:, slot] for view in self._views for name, slot in view.served.features}

    @cached_property
    def ages_us(self) -> dict[str, Column]:
        """Age of the view's latest visible event, microseconds, by ``view.feature``; null where there is none."""
        ages = [(view, view.age_us()) for view in self._views]
        return {name: age for view, age in ages for name, _ in view.served.features}

    @cached_property
    def sequences(self) -> dict[str, NDArray[np.int64]]:
        """Commit sequence s that each row's values are of, by view name."""
        return {view.served.name: view.rows.sequence for view in self._views}

    @cached_property
    def as_of_us(self) -> dict[str, NDArray[np.int64]]:
        """Instant that each row was materialised as of, microseconds UTC, by view name."""
        return {view.served.name: view.rows.as_of_us for view in self._views}
