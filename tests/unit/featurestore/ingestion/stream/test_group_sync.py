import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from featurestore.ingestion.stream.group_sync import GroupSync


class Disk:
    """Writes are counted at once, and on the disk after a slow sync that is counted too."""

    def __init__(self):
        self.written = self.syncs = 0
        self.lock = threading.Lock()
        self.failing = False

    def write(self):
        with self.lock:
            self.written += 1
            return self.written

    def sync(self):
        written = self.written
        self.syncs += 1
        time.sleep(0.01)
        if self.failing:
            raise OSError(5, "Input/output error")
        return written


def test_many_who_wait_share_few_syncs():
    disk = Disk()
    group = GroupSync(disk.sync)
    start = threading.Barrier(40)

    def append():
        start.wait()
        for _ in range(5):
            offset = disk.write()
            group.reach(offset)
            assert group.reached >= offset

    with ThreadPoolExecutor(40) as pool:
        for done in [pool.submit(append) for _ in range(40)]:
            done.result()
    assert disk.written == 200
    assert disk.syncs <= 30


def test_what_is_synced_already_is_not_synced_again():
    disk = Disk()
    group = GroupSync(disk.sync)
    first, second = disk.write(), disk.write()
    group.reach(second)
    group.reach(first)
    group.reach(second)
    assert disk.syncs == 1


def test_who_writes_during_a_sync_waits_for_the_next():
    disk = Disk()
    group = GroupSync(disk.sync)
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(group.reach, disk.write())
        while not disk.syncs:
            time.sleep(0.001)
        group.reach(disk.write())
        one.result()
    assert disk.syncs == 2


def test_a_failed_sync_fails_all_who_wait_and_all_who_come():
    """The system may have dropped what it could not write, so that a sync which succeeds later says nothing."""
    disk = Disk()
    group = GroupSync(disk.sync)
    group.reach(disk.write())
    disk.failing = True

    def append(_):
        with pytest.raises(OSError, match="Input/output error"):
            group.reach(disk.write())

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(append, range(5)))
    disk.failing = False
    append(0)
    assert group.reached == 1
