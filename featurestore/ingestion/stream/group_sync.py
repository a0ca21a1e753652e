"""One sync for all who wait for one."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition


class GroupSync:
    """Let many threads wait until what each has written is on the disk, with as few syncs as that takes.

    Of those who wait one syncs, for all who had written by then; those who come meanwhile wait for the next.

    Parameters
    ----------
    sync
        Flush all that is written, and return the offset up to which it is on the disk.
    """

    def __init__(self, sync: Callable[[], int]) -> None:
        self._sync = sync
        self._condition = Condition()
        self._reached = 0
        self._syncing = False
        self._failure: OSError | None = None

    @property
    def reached(self) -> int:
        """The offset up to which a sync is known to have come."""
        return self._reached

    def reach(self, offset: int) -> None:
        """Return when all before ``offset``, which is written, is on the disk.

        Raises
        ------
        OSError
            If a sync failed, now or ever: the system may have dropped what it could not write, so that a later sync
            that succeeds says nothing.
        """
        with self._condition:
            while self._syncing and self._reached < offset and self._failure is None:
                self._condition.wait()
            if self._failure is not None:
                raise self._failure
            if self._reached >= offset:
                return
            self._syncing = True
        self._lead()

    def _lead(self) -> None:
        reached, failure = self._reached, None
        try:
            reached = self._sync()
        except OSError as error:
            failure = error
            raise
        finally:
            with self._condition:
                self._syncing = False
                self._reached = max(self._reached, reached)
                self._failure = failure
                self._condition.notify_all()
