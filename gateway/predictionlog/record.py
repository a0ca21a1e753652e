"""What is logged of a prediction, handed over by the batch, and how it stands in a file.

Columns of a file, in this order:

===========================  ====================  =====================================================
``prediction_id``            string
``request_id``               string, nullable      of the request that asked
``instant``                  timestamp, µs UTC     t: the instant of the reads
``model``                    string
``version``                  int64
``record_hash``              string                of the model record
``variant``                  string                ``champion`` or ``challenger``
``route_revision``           int64
``degraded``                 bool
``worker``                   string                the process run that answered
``sequence``                 int64                 consecutive per worker from 0: a gap is a loss
``service``                  string                the feature service, as this process had it
``service_digest``           string                transitive: of all it comes from
``view_digest.<view>``       string                of each view it reads
``function_digest.<name>``   string                of each request feature it computes
``s.<view>``                 int64, nullable       commit sequence visible to the read of a view
``key.<entity>``             by type               entity keys
``request.<name>``           by type               request inputs
``feature.<name>``           by type               features exactly as used, null kept
``status.<name>``            uint8                 `featurestore.semantics.status.Status`
``output.<name>``            by type, list [n, k]  what the model answered
===========================  ====================  =====================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.value import Column


@dataclass(frozen=True, slots=True)
class ServiceDigests:
    """The definitions that a feature service is made of, by digest; made once per service, shared by its batches.

    Attributes
    ----------
    service, digest
        Its name, and the transitive digest.
    views, functions
        Pairs (name, digest) of the views it reads and of the request features it computes.
    """

    service: str = ""
    digest: str = ""
    views: tuple[tuple[str, str], ...] = ()
    functions: tuple[tuple[str, str], ...] = ()


NO_DIGESTS = ServiceDigests()


@dataclass(slots=True)
class PredictionBatch:
    """The predictions of one model version under one route revision: one request's, or those of several.

    The log keeps a reference: after the hand-over nobody may change what it holds, arrays included.

    Attributes
    ----------
    prediction_ids
        One per row; its length is the batch's. All that follows has that length too.
    instant_us
        t, one for all rows or one per row.
    request_id, degraded
        One for all rows, or one per row.
    definitions
        What the features were computed by.
    keys, requests, features
        Columns by name, without the prefix that they have in the file: ``household``, ``spending.net_sum_30d``.
    statuses
        uint8 arrays by feature name.
    sequences
        int64 arrays by view name; -1 where the store gave none.
    outputs
        Arrays by output name, of shape ``(n,)`` or ``(n, k)``.
    """

    model: str
    version: int
    record_hash: str
    variant: str
    route_revision: int
    instant_us: int | Sequence[int]
    prediction_ids: Sequence[str]
    keys: Mapping[str, Column]
    requests: Mapping[str, Column]
    features: Mapping[str, Column]
    statuses: Mapping[str, NDArray[np.uint8]]
    sequences: Mapping[str, NDArray[np.int64]]
    outputs: Mapping[str, NDArray[Any]]
    request_id: str | Sequence[str | None] | None = None
    degraded: bool | Sequence[bool] = False
    definitions: ServiceDigests = NO_DIGESTS

    def __len__(self) -> int:
        return len(self.prediction_ids)


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """One record, read back: the mappings hold Python values without their prefixes, None for null."""

    prediction_id: str
    request_id: str | None
    instant_us: int
    model: str
    version: int
    record_hash: str
    variant: str
    route_revision: int
    degraded: bool
    worker: str
    sequence: int
    service: str = ""
    service_digest: str = ""
    view_digests: dict[str, str | None] = field(default_factory=dict)
    function_digests: dict[str, str | None] = field(default_factory=dict)
    sequences: dict[str, int | None] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
