"""From a routing key to a variant, in about a microsecond, the same in every process and on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gateway.registry.route import Route, Variant
from gateway.registry.slots import SLOTS, decode_runs

_MASK = SLOTS - 1


def routing_key(keys: Sequence[int | str]) -> bytes:
    """Return the canonical bytes of entity keys, in the order given.

    Injective: keys that differ in value, in type or in where one ends have different bytes.
    """
    return b"".join(_key_bytes(key) for key in keys)


class SlotTable:
    """A route, compiled: the salted hash of a routing key names a slot, the slot names a variant.

    The hash is BLAKE2b of 8 bytes over the salt, a zero byte and the key; the slot is its low bits, little endian.
    """

    __slots__ = ("_owners", "_salted", "_variants")

    def __init__(self, route: Route) -> None:
        self._salted = hashlib.blake2b(route.salt.encode() + b"\0", digest_size=8)
        self._owners = bytes(decode_runs(route.runs))
        self._variants = route.variants

    def slot(self, key: bytes) -> int:
        """Return the slot of a routing key; it depends on salt and key only."""
        salted = self._salted.copy()
        salted.update(key)
        return int.from_bytes(salted.digest(), "little") & _MASK

    def index(self, key: bytes) -> int:
        """Return the position, in the route's variants, of the variant that answers for a key."""
        return self._owners[self.slot(key)]

    def variant(self, key: bytes) -> Variant:
        """Return the variant that answers for a key."""
        return self._variants[self.index(key)]


def _key_bytes(key: int | str) -> bytes:
    if isinstance(key, int):
        return b"i%d;" % key
    text = key.encode()
    return b"s%d:%b" % (len(text), text)
