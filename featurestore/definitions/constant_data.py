"""What the constants are that a function may refer to: plain data of exact types, without behaviour of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

SCALARS = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (list, dict, set)


def can_change(value: Any, *, in_part: bool = False) -> bool:
    """Whether a value, or with ``in_part`` a part of it, can be changed."""
    if isinstance(value, np.ndarray):
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    return (isinstance(value, _CONTAINERS) and not in_part) or any(can_change(part) for part in parts)


def is_plain_array(value: Any) -> bool:
    """Whether a value is NumPy's own array or scalar, of numbers, text or instants: no subclass, no record."""
    own = type(value) is np.ndarray or (isinstance(value, np.generic) and type(value).__module__ == "numpy")
    return own and not value.dtype.hasobject and value.dtype.names is None
