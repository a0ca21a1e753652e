from __future__ import annotations

import hashlib
import math

import pytest

from featurestore.foundation.canonical import canonical_bytes, digest


def test_the_order_of_keys_does_not_count_and_that_of_lists_does() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest([1, 2]) != digest([2, 1])


def test_types_are_told_apart() -> None:
    assert len({digest(value) for value in (1, 1.0, "1", True, None, [1], [[1]])}) == 7


def test_the_bytes_are_what_they_are_said_to_be() -> None:
    assert canonical_bytes({"b": "ü", "a": None}) == '{"a":null,"b":"ü"}'.encode()
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", {1, 2}, object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_bytes(value)
