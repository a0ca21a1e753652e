"""Sequence numbers of records that were dropped, until they are noted in the log."""

from __future__ import annotations

import threading


class Losses:
    """Spans of dropped sequence numbers; neighbouring ones are one. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[tuple[int, int]] = []

    def add(self, first: int, last: int) -> None:
        """Count a span, both ends included, as dropped."""
        with self._lock:
            if self._spans and self._spans[-1][1] + 1 == first:
                first = self._spans.pop()[0]
            self._spans.append((first, last))

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Return what is not noted yet."""
        with self._lock:
            return tuple(self._spans)

    def noted(self, spans: tuple[tuple[int, int], ...]) -> None:
        """Forget spans that are in the log now; one that has grown since is noted again when it is."""
        with self._lock:
            self._spans = [span for span in self._spans if span not in spans]
