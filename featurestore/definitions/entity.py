"""The things that features are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from featurestore.definitions.definition import Definition, check_dtype, check_name, check_text
from featurestore.semantics.value import DType, Int64, String


@dataclass(frozen=True, eq=False)
class Entity(Definition):
    """A kind of thing, such as a household, and the key that tells one from another.

    Attributes
    ----------
    join_key
        Name of the column that holds the key on spines and in requests, and in sources unless a view names another.
    dtype
        The key's type: ``Int64`` or ``String``.
    """

    noun: ClassVar[str] = "Entity"

    name: str
    join_key: str
    dtype: DType = Int64
    description: str = ""

    def __post_init__(self) -> None:
        self._named(self.name)
        check_name(self.join_key, f"{self.label} join_key")
        check_text(self, "description", self.description)
        check_dtype(self, "dtype", self.dtype)
        if self.dtype not in (Int64, String):
            raise self.refuse(f"dtype is {self.dtype}", "a join key is Int64 or String")

    def describe(self) -> dict[str, Any]:
        """Return name, join key and type as plain data."""
        return {"definition": self.noun, "name": self.name, "join_key": self.join_key, "dtype": str(self.dtype)}
