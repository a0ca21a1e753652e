"""How many requests may be in work at once."""

from __future__ import annotations

from types import TracebackType

from gateway.errors import NotReady, Overloaded


class Admission:
    """A door with a limit, for one event loop; enter it with ``with``.

    Attributes
    ----------
    in_flight
        Requests inside.
    closed
        Whether nobody is let in any more.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.closed = False
        self.in_flight = 0

    def close(self) -> None:
        """Let nobody in any more; those inside finish."""
        self.closed = True

    def __enter__(self) -> None:
        if self.in_flight >= self._limit:
            raise Overloaded(
                f"{self._limit} requests are in work already",
                mend="send it again after a second, or raise [gateway] in_flight_limit_requests",
                headers=(("retry-after", "1"),),
            )
        if self.closed:
            raise NotReady("the gateway is stopping", mend="send it again, to another gateway or after the restart")
        self.in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1
