"""A set of sequence numbers in a bit each, and in none where all are there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Numbers whose bits stand together; a block of which all are there needs no memory."""

Span = tuple[int, int]
"""First and last number, both included."""


class SequenceSet:
    """Numbers from 0, added in any order.

    Attributes
    ----------
    doubled
        How many were added that were there already.
    following
        One more than the greatest, 0 when empty.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, NDArray[np.uint8] | None] = {}
        self.doubled = 0
        self.following = 0

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Add numbers."""
        if not len(numbers):
            return
        self.following = max(self.following, int(numbers.max()) + 1)
        blocks = numbers // BLOCK
        for block in np.unique(blocks).tolist():
            self._add(block, numbers[blocks == block] - block * BLOCK)

    def missing(self, following: int) -> Iterator[Span]:
        """Give the spans below ``following`` that are not in it, ascending; neighbouring ones are one."""
        pending: Span | None = None
        for span in self._missing_by_block(following):
            if pending is None:
                pending = span
            elif pending[1] + 1 == span[0]:
                pending = pending[0], span[1]
            else:
                yield pending
                pending = span
        if pending is not None:
            yield pending

    def _missing_by_block(self, following: int) -> Iterator[Span]:
        for block in range(-(-following // BLOCK)):
            start, size = block * BLOCK, min(BLOCK, following - block * BLOCK)
            if block not in self._blocks:
                yield start, start + size - 1
                continue
            bits = self._blocks[block]
            if bits is not None:
                absent = np.unpackbits(bits, count=size) == 0
                edges = np.flatnonzero(np.diff(absent, prepend=False, append=False))
                yield from zip((start + edges[0::2]).tolist(), (start + edges[1::2] - 1).tolist(), strict=True)

    def _add(self, block: int, numbers: NDArray[np.int64]) -> None:
        present = np.zeros(BLOCK, dtype=np.bool_)
        present[numbers] = True
        bits = np.packbits(present)
        new = int(np.bitwise_count(bits).sum(dtype=np.int64))
        if block in self._blocks:
            old = self._blocks[block]
            self.doubled += new if old is None else int(np.bitwise_count(bits & old).sum(dtype=np.int64))
            bits = np.full_like(bits, 255) if old is None else bits | old
        self.doubled += len(numbers) - new
        self._blocks[block] = None if bits.min() == 255 else bits
