"""The features of a round: one read of the online store for all requests that wait, at one instant."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureService
from featurestore.foundation.clock import Clock, format_instant
from featurestore.foundation.errors import OnlineStoreError, SemanticsError
from featurestore.online.base import OnlineReader
from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.retrieval.online_features import OnlineFeatures, ServiceRead
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, column, null_column
from gateway.errors import FeaturesUnreadable, StoreUnavailable
from gateway.observability.metrics import FETCH_ERRORS, FETCH_SECONDS, FETCHED_ROWS, FETCHES, Measures
from gateway.serving.ask import Rows
from gateway.serving.request import join_keys
from gateway.serving.view_watch import ViewWatch


@dataclass(frozen=True)
class FeatureFrame:
    """Features of n rows, as the store gave them, and the values that came with the requests.

    Attributes
    ----------
    instant_us
        t of the read.
    keys
        Join keys by entity name.
    requests
        Request values by name.
    features, statuses
        Values and `Status` by ``view.feature``.
    sequences
        Commit sequence s by view name, -1 where nothing was read.
    read
        What was read; None if the store failed and every feature stands as missing.
    """

    instant_us: int
    keys: dict[str, Column]
    requests: dict[str, Column]
    features: Mapping[str, Column]
    statuses: Mapping[str, NDArray[np.uint8]]
    sequences: Mapping[str, NDArray[np.int64]]
    read: ServiceRead | None

    @cached_property
    def as_of(self) -> str:
        """``instant_us`` as RFC 3339."""
        return format_instant(self.instant_us)

    @property
    def degraded(self) -> bool:
        """Whether the store failed and every feature stands as missing."""
        return self.read is None

    @property
    def ages_us(self) -> Mapping[str, Column]:
        """Age of the latest event of a feature's view by ``view.feature``, null without one."""
        return {} if self.read is None else self.read.ages_us


class FeatureFetch:
    """Read the features of one service.

    Parameters
    ----------
    views
        Watches the views of the service.
    degrade
        Whether a store that does not answer gives rows without features, instead of `StoreUnavailable`.
    """

    def __init__(
        self,
        service: FeatureService,
        reader: OnlineReader,
        clock: Clock,
        measures: Measures,
        views: ViewWatch,
        *,
        degrade: bool,
    ) -> None:
        self._service = service
        self._views = views
        self._online = OnlineFeatures(service)
        self._reader = reader
        self._clock = clock
        self._measures = measures
        self._seconds = measures.duration(FETCH_SECONDS, (service.name,))
        self._labels = (service.name,)
        self._degrade = degrade and service.missing != "refuse"
        order = list(join_keys(service))
        self._entities = {view.entity.name: (order.index(view.entity.join_key), view.entity) for view in service.views}

    async def read(self, keys: Rows, inputs: Rows) -> FeatureFrame:
        """Return the features of some rows as of now.

        Parameters
        ----------
        keys, inputs
            A tuple per row, in the order of `join_keys` and of the service's requests.

        Raises
        ------
        ViewNotFollowed
            If the rows of a view lack commits; answers are not degraded for it.
        StoreUnavailable
            If the store does not answer, and answers are not to be degraded.
        FeaturesUnreadable
            If it answers, but not with the exact values of each row.
        """
        self._views.refuse(self._service)
        by_entity = {name: [row[at] for row in keys] for name, (at, _) in self._entities.items()}
        columns = {name: column(self._entities[name][1].dtype, values) for name, values in by_entity.items()}
        requests = {
            request.name: column(request.dtype, [row[at] for row in inputs])
            for at, request in enumerate(self._service.requests)
        }
        instant_us = self._clock.now_us()
        began = time.perf_counter()
        try:
            read = await self._online.read(self._reader, by_entity, instant_us)
        except OnlineStoreUnavailable as error:
            self._measures.add(FETCH_ERRORS, self._labels)
            if not self._degrade:
                raise StoreUnavailable(error.what, where=error.where, mend=error.mend) from error
            return self._without_features(instant_us, columns, requests, len(keys))
        except (OnlineStoreError, SemanticsError) as error:
            raise FeaturesUnreadable(error.what, where=error.where, mend=error.mend) from error
        finally:
            self._count(len(keys), time.perf_counter() - began)
        return FeatureFrame(instant_us, columns, requests, read.columns, read.statuses, read.sequences, read)

    def _count(self, rows: int, duration_s: float) -> None:
        self._measures.add(FETCHES, self._labels)
        self._measures.add(FETCHED_ROWS, self._labels, rows)
        self._seconds.observe(duration_s)

    def _without_features(
        self, instant_us: int, keys: dict[str, Column], requests: dict[str, Column], rows: int
    ) -> FeatureFrame:
        refs = self._service.refs
        return FeatureFrame(
            instant_us,
            keys,
            requests,
            {ref.name: null_column(ref.dtype, rows) for ref in refs},
            {ref.name: np.full(rows, Status.MISSING, dtype=np.uint8) for ref in refs},
            {view.name: np.full(rows, -1, dtype=np.int64) for view in self._service.views},
            None,
        )
