"""One round of predictions of one feature service: features read together, request features and assembly computed
together, the model run for each request alone.

Sharing is exact where it is done: reads, request features (batch-invariant by law 7) and assembly give each row the
same bits in any company. A model does not (decision 0030), so that a request's outputs never depend on who else asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from featurestore.definitions import FeatureService
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.json_value import write_output
from featurestore.semantics.model_input import ModelInput, assemble
from featurestore.semantics.value import Column
from gateway.errors import FeaturesMissing, ModelFailed, RequestError, StoreUnavailable
from gateway.predictionlog.writer import PredictionLog
from gateway.serving.ask import Answer, Ask
from gateway.serving.explanation import explain
from gateway.serving.feature_fetch import FeatureFetch, FeatureFrame
from gateway.serving.log_batch import log_batch, service_digests
from gateway.serving.prediction_id import prediction_id


class PredictionRound:
    """Answer the requests that wait for one feature service."""

    def __init__(self, service: FeatureService, fetch: FeatureFetch, log: PredictionLog) -> None:
        self._service = service
        self._spec = service.input_spec
        self._fetch = fetch
        self._log = log
        self._digests = service_digests(service)

    async def answer(self, asks: Sequence[Ask]) -> list[Answer | RequestError]:
        """Answer each ask, or say why not; what is wrong with one does not touch the others."""
        order = sorted(range(len(asks)), key=lambda at: id(asks[at].target))
        try:
            outcomes = await self._answer_together([asks[at] for at in order])
            return [outcome for _, outcome in sorted(zip(order, outcomes, strict=True), key=itemgetter(0))]
        except StoreUnavailable as error:
            return [error] * len(asks)
        except RequestError as error:
            if len(asks) == 1:
                return [error]
        return [(await self.answer([ask]))[0] for ask in asks]

    async def _answer_together(self, asks: Sequence[Ask]) -> list[Answer | RequestError]:
        frame = await self._fetch.read(
            [row for ask in asks for row in ask.keys], [row for ask in asks for row in ask.inputs]
        )
        values = self._evaluate(frame)
        assembled = assemble(self._spec, values)
        outcomes: list[Answer | RequestError] = []
        start = 0
        for ask in asks:
            rows = slice(start, start + len(ask.keys))
            outcomes.append(self._answer(ask, frame, values, assembled, rows))
            start = rows.stop
        handed = self._hand_to_log(asks, outcomes, frame, values)
        logged = self._log.settlement(handed) if handed else None
        if logged is None:
            return outcomes
        return [replace(each, logged=logged) if isinstance(each, Answer) else each for each in outcomes]

    def _answer(
        self, ask: Ask, frame: FeatureFrame, values: Mapping[str, Column], assembled: ModelInput, rows: slice
    ) -> Answer | RequestError:
        try:
            self._refuse_missing(values, rows)
            session = ask.target.model.session
            arrays = session.run(ModelInput(assembled.numeric[rows], assembled.text[rows]))
        except RequestError as error:
            return error
        return Answer(
            ask.target,
            frame.as_of,
            frame.degraded,
            [prediction_id(frame.instant_us) for _ in ask.keys],
            {name: write_output(array) for name, array in zip(session.outputs, arrays, strict=True)},
            explain(self._spec, frame, values, rows) if ask.explain else None,
            arrays,
        )

    def _evaluate(self, frame: FeatureFrame) -> dict[str, Column]:
        try:
            return self._service.evaluate({**frame.features, **frame.requests})
        except DefinitionError as error:
            raise ModelFailed(error.what, where=error.where, mend=error.mend) from error

    def _refuse_missing(self, values: Mapping[str, Column], rows: slice) -> None:
        if self._service.missing != "refuse":
            return
        missing = [name for name, of in values.items() if of.nulls[rows].any()]
        if missing:
            first = int(np.flatnonzero(values[missing[0]].nulls[rows])[0])
            raise FeaturesMissing(
                f"no value for {', '.join(missing)} (first in row {first})",
                where=f"feature service {self._service.name}",
                mend='send another key, materialise its features, or give the service missing="null" or "default"',
            )

    def _hand_to_log(
        self,
        asks: Sequence[Ask],
        outcomes: Sequence[Answer | RequestError],
        frame: FeatureFrame,
        values: Mapping[str, Column],
    ) -> int:
        start = handed = 0
        pairs = zip(asks, outcomes, strict=True)
        for target, group in groupby(pairs, key=lambda pair: pair[1].target if isinstance(pair[1], Answer) else None):
            members: list[Any] = list(group)
            rows = slice(start, start + sum([len(ask.keys) for ask, _ in members]))
            start = rows.stop
            if target is not None:
                self._log.append(log_batch(target, members, frame, values, rows=rows, definitions=self._digests))
                handed += rows.stop - rows.start
        return handed
