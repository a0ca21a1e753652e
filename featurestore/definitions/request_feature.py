"""Features computed at the request from its inputs and stored features: one function in training and serving."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions.definition import Definition, check_dtype, check_name, shown
from featurestore.definitions.feature_view import FeatureRef
from featurestore.definitions.function_meaning import function_meaning
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.value import Column, DType, identical, null_column

Function = Callable[..., NDArray[Any]]


@dataclass(frozen=True)
class Request:
    """A value that comes with the request, and stands on the spine in training."""

    name: str
    dtype: DType

    def __post_init__(self) -> None:
        check_name(self.name, "Request")
        if not isinstance(self.dtype, DType):
            raise DefinitionError(
                f"dtype is {self.dtype!r}, not a type",
                where=f"Request {self.name}",
                mend=f'write Request("{self.name}", Float64)',
            )


@dataclass(frozen=True, eq=False)
class RequestFeature(Definition):
    """A feature computed by a NumPy function; made by the decorator `request_feature`.

    The function is called on the rows whose inputs are all non-null; elsewhere the result is null. Its arrays are
    contiguous, of the input types' storage (`DType.storage`), one value per row. NumPy's floating-point warnings are
    off: 1/0 is infinity.

    Attributes
    ----------
    inputs
        Request values, view features and other request features, in the order of the function's parameters.
    dtype
        The type of the result; never a decimal.
    function
        The undecorated function.
    """

    noun: ClassVar[str] = "RequestFeature"

    name: str
    inputs: Sequence[RequestInput]
    dtype: DType
    function: Function = field(repr=False)
    description: str = ""

    def __post_init__(self) -> None:
        self._named(self.name)
        check_dtype(self, "dtype", self.dtype)
        object.__setattr__(self, "inputs", self._checked_inputs())
        if self.dtype.name == "decimal":
            raise self.refuse("dtype is a decimal", "return Float64: NumPy has no decimals")
        self._check_parameters()

    def __call__(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        """Call the function itself, as other request features and tests do."""
        return self.function(*arrays)

    def describe(self) -> dict[str, Any]:
        """Return inputs, type and the meaning of the function's code as plain data.

        Raises
        ------
        DefinitionError
            If the function uses something whose meaning cannot be pinned down.
        """
        return {
            "definition": self.noun,
            "name": self.name,
            "inputs": [describe_input(given) for given in self.inputs],
            "dtype": str(self.dtype),
            "function": function_meaning(self.function, self.label),
        }

    def evaluate(self, columns: Mapping[str, Column], n: int) -> Column:
        """Compute the feature for ``n`` rows.

        Parameters
        ----------
        columns
            A column of length ``n`` for each input, by the input's name (``view.feature`` for a view's).

        Raises
        ------
        DefinitionError
            If an input is absent or of another type, the function fails, or its result has not one value of the stated
            type per row.
        """
        given = [self._input_column(expected, columns, n) for expected in self.inputs]
        absent = np.zeros(n, dtype=np.bool_)
        for part in given:
            absent |= part.nulls
        result = null_column(self.dtype, n)
        whole = ~absent
        if whole.any():
            result.values[whole] = self._computed([part.values[whole] for part in given])
        return Column(self.dtype, result.values, absent)

    def check_batch_invariance(self, columns: Mapping[str, Column]) -> None:
        """Refuse a function whose result for a row depends on the other rows of its batch.

        The batch is compared, bit for bit, with each row alone, and with the batch reversed.

        Raises
        ------
        DefinitionError
            Naming the first row that differs.
        """
        n = len(next(iter(columns.values())))
        whole = self.evaluate(columns, n)
        backward = np.arange(n - 1, -1, -1)
        reversed_columns = {name: part.take(backward) for name, part in columns.items()}
        self._check_same(whole, self.evaluate(reversed_columns, n).take(backward))
        for row in range(n):
            alone = {name: part.take(np.array([row])) for name, part in columns.items()}
            self._check_same(whole.take(np.array([row])), self.evaluate(alone, 1), row)

    def _check_same(self, left: Column, right: Column, first_row: int = 0) -> None:
        different = np.flatnonzero(~identical(left, right))
        if len(different):
            row = int(different[0])
            raise self.refuse(
                f"row {first_row + row} is {left.to_pylist()[row]!r} in its batch, "
                f"{right.to_pylist()[row]!r} in another",
                "compute each row from its own inputs alone: no mean, sum, sort or random numbers over the batch",
            )

    def _input_column(self, expected: RequestInput, columns: Mapping[str, Column], n: int) -> Column:
        if expected.name not in columns:
            raise self.refuse(f"input {expected.name} is not among the columns {sorted(columns)}", "hand it in")
        given = columns[expected.name]
        if given.dtype != expected.dtype or len(given) != n:
            raise self.refuse(
                f"input {expected.name} is {len(given)} values of {given.dtype}, expected {n} of {expected.dtype}"
            )
        return given

    def _computed(self, arrays: list[NDArray[Any]]) -> NDArray[Any]:
        rows = len(arrays[0])
        try:
            with np.errstate(all="ignore"):
                result = self.function(*arrays)
        except Exception as error:
            raise self.refuse(
                f"the function failed on {rows} rows: {type(error).__name__}: {error}",
                f"see {function_site(self.function)}",
            ) from error
        if not isinstance(result, np.ndarray) or result.shape != (rows,):
            got = f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else shown(result)
            raise self.refuse(f"the function gave {got} for {rows} rows", "return one value per row, shape (n,)")
        return self._checked_result(result)

    def _checked_result(self, result: NDArray[Any]) -> NDArray[Any]:
        if self.dtype.name == "string":
            words = result.astype(np.object_) if result.dtype.kind == "U" else result
            if words.dtype == np.object_ and all(isinstance(word, str) for word in words):
                return words
        elif result.dtype == self.dtype.storage:
            return result
        raise self.refuse(
            f"the function gave {result.dtype}, not {self.dtype}", f"return result.astype({str(self.dtype.storage)!r})"
        )

    def _checked_inputs(self) -> tuple[RequestInput, ...]:
        if not isinstance(self.inputs, Sequence) or isinstance(self.inputs, str) or not self.inputs:
            raise self.refuse(
                f"inputs is {shown(self.inputs)}", 'give a list such as [Request("basket_value", Float64)]'
            )
        for number, given in enumerate(self.inputs):
            if not isinstance(given, (Request, FeatureRef, RequestFeature)):
                raise self.refuse(
                    f"inputs[{number}] is {shown(given)}",
                    'give a Request, a feature as view["name"] or a request feature',
                )
            if given.dtype.name == "decimal":
                raise self.refuse(
                    f"input {given.name} is {given.dtype}", "NumPy has no decimals: derive the column as Float64"
                )
        names = [given.name for given in self.inputs]
        if len(set(names)) < len(names):
            raise self.refuse(f"inputs {names} name one twice", "give each input once")
        return tuple(self.inputs)

    def _check_parameters(self) -> None:
        """Refuse a function that does not take its inputs, or plainly takes them in another order."""
        if not inspect.isfunction(self.function) or self.function.__name__ == "<lambda>":
            raise self.refuse(f"the function is {shown(self.function)}", "decorate a plain function, written with def")
        signature = inspect.signature(self.function)
        parameters = signature.parameters.values()
        names = [parameter.name for parameter in parameters]
        plain = all(parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
        if not plain or len(names) != len(self.inputs):
            raise self.refuse(
                f"the function takes {signature} for {len(self.inputs)} inputs",
                "give it one plain parameter per input, in order",
            )
        short = [given.name.rpartition(".")[2] for given in self.inputs]
        if sorted(names) == sorted(short) and names != short:
            raise self.refuse(
                f"the function takes ({', '.join(names)}) but the inputs are ({', '.join(short)})",
                "put both in one order",
            )


RequestInput = Request | FeatureRef | RequestFeature


def request_feature(
    *, inputs: Sequence[RequestInput], dtype: DType, name: str | None = None, description: str = ""
) -> Callable[[Function], RequestFeature]:
    """Make a function of NumPy arrays a request feature.

    Parameters
    ----------
    inputs
        What the function takes, in the order of its parameters.
    dtype
        The type of what it returns.
    name
        The feature's name; by default the function's.
    """

    def decorate(function: Function) -> RequestFeature:
        called = str(getattr(function, "__name__", function)) if name is None else name
        return RequestFeature(called, inputs, dtype, function, description)

    return decorate


def describe_input(given: RequestInput) -> dict[str, Any]:
    """Return a request feature's input, or a service's part, as plain data."""
    if isinstance(given, Request):
        return {"request": given.name, "dtype": str(given.dtype)}
    if isinstance(given, FeatureRef):
        return given.describe()
    return {"request_feature": given.describe()}


def function_site(function: Function) -> str:
    """Return ``file:line`` of a function."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
