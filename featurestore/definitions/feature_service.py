"""What one model takes: features of views, request values and request features, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from featurestore.definitions.definition import Definition, check_text, nearest, shown
from featurestore.definitions.feature_view import FeatureRef, FeatureView
from featurestore.definitions.request_feature import Request, RequestFeature, RequestInput, describe_input
from featurestore.definitions.written_value import stored_value, value_example
from featurestore.semantics.model_input import InputFeature, InputSpec
from featurestore.semantics.value import Column, DType

MISSING_POLICIES = ("null", "refuse", "default")


@dataclass(frozen=True)
class ServiceOutput:
    """One output of a service: its name, its type, and what it comes from."""

    name: str
    dtype: DType
    source: RequestInput


@dataclass(frozen=True, init=False, eq=False)
class FeatureService(Definition):
    """The features a model takes, in order.

    Parameters
    ----------
    features
        A view gives all its features, ``view["name"]`` one; request values and request features give themselves.
    missing
        What a request gets whose features are not all there: ``"null"`` hands nulls to the model, ``"default"`` fills
        ``defaults`` in, ``"refuse"`` refuses the request.
    defaults
        With ``missing="default"``: a value for every output but the request values, which may have one.
    """

    noun: ClassVar[str] = "FeatureService"

    name: str
    outputs: tuple[ServiceOutput, ...]
    missing: str
    defaults: Mapping[str, Any]
    description: str
    owner: str
    _stored_defaults: Mapping[str, Any] = field(repr=False)

    def __init__(
        self,
        name: str,
        features: Sequence[FeatureView | RequestInput],
        *,
        missing: str = "null",
        defaults: Mapping[str, Any] | None = None,
        description: str = "",
        owner: str = "",
    ) -> None:
        self._named(name)
        self._set(description=description, owner=owner)
        check_text(self, "description", description)
        check_text(self, "owner", owner)
        self._set(outputs=self._resolved(features))
        self._check_agreement()
        if missing not in MISSING_POLICIES:
            raise self.refuse(f"missing is {missing!r}", nearest(missing, MISSING_POLICIES))
        given = {} if defaults is None else defaults
        self._check_defaults(missing, given)
        stored = {key: self._stored_default(key, value) for key, value in given.items()}
        self._set(missing=missing, defaults=MappingProxyType(dict(given)), _stored_defaults=MappingProxyType(stored))

    @cached_property
    def refs(self) -> tuple[FeatureRef, ...]:
        """Every view feature that is needed, also through request features, each once, in order of first need."""
        return tuple(dict.fromkeys(part for part in self._needed() if isinstance(part, FeatureRef)))

    @cached_property
    def views(self) -> tuple[FeatureView, ...]:
        """Every view that is needed, also through request features, each once."""
        return tuple(dict.fromkeys(ref.view for ref in self.refs))

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """Every request value that is needed, also through request features, each once."""
        return tuple(dict.fromkeys(part for part in self._needed() if isinstance(part, Request)))

    @cached_property
    def request_features(self) -> tuple[RequestFeature, ...]:
        """Every request feature, each once, after those it takes as inputs."""
        return tuple(dict.fromkeys(part for part in self._needed() if isinstance(part, RequestFeature)))

    @cached_property
    def input_spec(self) -> InputSpec:
        """The outputs as a model takes them, defaults included."""
        return InputSpec(
            tuple(InputFeature(out.name, out.dtype, self._stored_defaults.get(out.name)) for out in self.outputs)
        )

    def refs_of(self, view: FeatureView) -> tuple[FeatureRef, ...]:
        """Return the needed features of one view, in order of first need."""
        return tuple(ref for ref in self.refs if ref.view == view)

    def evaluate(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Compute the request features and return every output by name, in order.

        Parameters
        ----------
        columns
            All of `refs` and `requests` by name, of one length; others are ignored.

        Raises
        ------
        DefinitionError
            If one is absent or of another type, or a request feature's function fails.
        """
        known = {name: self._column(name, dtype, columns) for name, dtype in self._given}
        lengths = {len(part) for part in known.values()}
        if len(lengths) != 1:
            raise self.refuse(f"columns have lengths {sorted(lengths)}", "hand in columns of one length")
        n = lengths.pop()
        for feature in self.request_features:
            known[feature.name] = feature.evaluate(known, n)
        return {output.name: known[output.name] for output in self.outputs}

    def describe(self) -> dict[str, Any]:
        """Return the outputs in order with all they come from, and the policy for missing values, as plain data."""
        return {
            "definition": self.noun,
            "name": self.name,
            "outputs": [
                {"name": out.name, "dtype": str(out.dtype), "from": describe_input(out.source)} for out in self.outputs
            ],
            "missing": self.missing,
            "defaults": dict(self._stored_defaults),
        }

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _resolved(self, features: object) -> tuple[ServiceOutput, ...]:
        if not isinstance(features, Sequence) or isinstance(features, str) or not features:
            raise self.refuse(f"features is {shown(features)}", "give a list of views and features")
        outputs: dict[str, ServiceOutput] = {}
        for number, part in enumerate(features):
            for output in self._outputs_of(part, number):
                if output.name in outputs:
                    raise self.refuse(f"two outputs are called {output.name!r}", "list each feature once")
                outputs[output.name] = output
        return tuple(outputs.values())

    def _outputs_of(self, part: object, number: int) -> Iterator[ServiceOutput]:
        if isinstance(part, FeatureView):
            yield from (ServiceOutput(ref.name, ref.dtype, ref) for ref in part.refs)
        elif isinstance(part, (FeatureRef, RequestFeature, Request)):
            yield ServiceOutput(part.name, part.dtype, part)
        else:
            raise self.refuse(
                f"features[{number}] is {shown(part)}", 'give a view, view["feature"], a request feature or a Request'
            )

    def _needed(self) -> Iterator[RequestInput]:
        for output in self.outputs:
            yield from _with_inputs(output.source)

    def _check_agreement(self) -> None:
        """Refuse two different things of one name among all that is needed."""
        seen: dict[tuple[type, str], object] = {}
        for part in self._needed():
            named: Request | RequestFeature | FeatureView = part.view if isinstance(part, FeatureRef) else part
            kind = FeatureView if isinstance(named, FeatureView) else Request
            if seen.setdefault((kind, named.name), named) != named:
                noun = "view" if isinstance(named, FeatureView) else "input"
                raise self.refuse(f"two different {noun}s are called {named.name!r}", "rename one of them")

    def _check_defaults(self, missing: str, defaults: object) -> None:
        if not isinstance(defaults, Mapping):
            raise self.refuse(f"defaults is {shown(defaults)}", 'give it as {"view.feature": 0}')
        if defaults and missing != "default":
            raise self.refuse(
                f"defaults are given but missing={missing!r}", 'write missing="default", or leave them out'
            )
        names = [output.name for output in self.outputs]
        for key in defaults:
            if key not in names:
                raise self.refuse(f"defaults names {key!r}, which is no output", nearest(key, names))
        if missing == "default":
            lacking = [
                out.name for out in self.outputs if out.name not in defaults and not isinstance(out.source, Request)
            ]
            if lacking:
                raise self.refuse(
                    f"no default for {', '.join(lacking)}", "give each a default, or choose another policy"
                )

    def _stored_default(self, key: str, value: object) -> Any:
        dtype = next(output.dtype for output in self.outputs if output.name == key)
        stored = stored_value(dtype, value)
        if stored is None:
            raise self.refuse(f"default of {key} is {value!r}, not a value of {dtype}", f"give {value_example(dtype)}")
        return stored

    @cached_property
    def _given(self) -> tuple[tuple[str, DType], ...]:
        """Name and type of all that `evaluate` is given; kept, as every prediction asks for it."""
        stored: tuple[FeatureRef | Request, ...] = (*self.refs, *self.requests)
        return tuple((part.name, part.dtype) for part in stored)

    def _column(self, name: str, dtype: DType, columns: Mapping[str, Column]) -> Column:
        given = columns.get(name)
        if given is None:
            raise self.refuse(f"{name} is not among the columns {sorted(columns)}", "hand in all refs and requests")
        if given.dtype is not dtype and given.dtype != dtype:
            raise self.refuse(f"column {name} is {given.dtype}, not {dtype}", "hand it in as defined")
        return given


def _with_inputs(part: RequestInput) -> Iterator[RequestInput]:
    """Give a part after all it is computed from."""
    if isinstance(part, RequestFeature):
        for given in part.inputs:
            yield from _with_inputs(given)
    yield part
