import asyncio
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.lmdb_store import LmdbStore
from featurestore.online.open_store import open_store
from tests.contract.online.commit_suite import SOURCE, CommitSuite, change_of, commit_of, entry
from tests.contract.online.suite import keys_of, put_of, row

REPOSITORY = Path(__file__).parents[3]


def in_another_process(code, *arguments):
    """Run code in a process of its own, as a gateway beside the writer is; return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip


class TestLmdbStore(CommitSuite):
    """The back door is another process: LMDB allows one handle of a file in a process."""

    @pytest.fixture(autouse=True)
    def a_folder(self, tmp_path):
        self.folder = tmp_path / "online"
        self.keeper = LmdbStore(self.folder)
        yield
        self.keeper.close()

    def open(self):
        return open_store(f"lmdb:{self.folder}")

    @property
    def raw(self):
        file = self.keeper._file
        assert file is not None
        return file._environment

    def raw_get(self, key):
        with self.raw.begin() as transaction:
            return transaction.get(key)

    def raw_set(self, key, value):
        with self.raw.begin(write=True) as transaction:
            transaction.put(key, value)

    def raw_all(self):
        with self.raw.begin() as transaction:
            return dict(transaction.cursor())

    def raw_clear(self):
        with self.raw.begin(write=True) as transaction:
            transaction.drop(self.raw.open_db(txn=transaction), delete=False)

    def test_a_new_file_is_on_the_disk_by_name_folders_included(self, tmp_path):
        """LMDB flushes what it writes, but never the folder it is in."""
        program = """
            import os, sys
            from pathlib import Path
            from featurestore.online.lmdb_store import LmdbStore
            real = os.fsync
            def traced(descriptor):
                folder = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
                print(folder, *sorted(path.name for path in folder.iterdir()))
                real(descriptor)
            os.fsync = traced
            LmdbStore(Path(sys.argv[1]))
        """
        told = in_another_process(program, str(tmp_path / "a" / "b")).splitlines()
        assert told[-3:] == [f"{tmp_path} a online", f"{tmp_path}/a b", f"{tmp_path}/a/b data.mdb lock.mdb"]

    def test_a_full_map_grows(self, tmp_path):
        with closing(LmdbStore(tmp_path / "small", initial_map_bytes=2**16)) as store:
            puts = [put_of(b"i:%d" % i, 1, 1, b"x" * 5000) for i in range(200)]
            assert store.put_many(puts).written == 200
            assert store.get_many([put.row_key for put in puts]) == [put.row for put in puts]

    def test_a_reader_in_another_process_follows_growth_and_commits(self, tmp_path):
        """The other process opens a small map; this one outgrows it many times over; the other reads on."""
        code = """
            import sys
            from pathlib import Path
            from featurestore.online.lmdb_store import LmdbStore
            store = LmdbStore(Path(sys.argv[1]), initial_map_bytes=2**16)
            key = bytes.fromhex(sys.argv[2])
            print(store.get_many([key])[0], flush=True)
            while sys.stdin.readline():
                print(len(store.get_many([key])[0]), flush=True)
            """
        folder, key = tmp_path / "grown", keys_of(b"i:1")[0]
        LmdbStore(folder, initial_map_bytes=2**16).close()
        other = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(folder), key.hex()],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with other, closing(LmdbStore(folder, initial_map_bytes=2**16)) as store:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "None\n"
            for step in range(1, 6):
                body = b"x" * (step * 400_000)
                store.put_many([put_of(b"i:1", step, 0, body)])
                other.stdin.write("\n")
                other.stdin.flush()
                assert other.stdout.readline() == f"{len(row(step, 0, body))}\n"
            other.stdin.close()

    def test_a_commit_that_fills_the_map_grows_it(self, tmp_path):
        with closing(LmdbStore(tmp_path / "small", initial_map_bytes=2**16)) as store:
            changes = [change_of(b"i:%d" % i, 1, body=b"x" * 5000, parts={b"0": b"y" * 5000}) for i in range(100)]
            assert store.apply(commit_of(1, changes, [entry(b"%d" % i) for i in range(500)])) == 100
            assert store.apply(commit_of(1, changes)) == 0
            assert store.get_many([changes[99].row_key, SOURCE.applied]) == [changes[99].row, b"applied 1"]

    def test_a_sweep_follows_what_another_process_has_grown(self, tmp_path):
        """This process opened a small map, and has looked at nothing since."""
        code = """
            import sys
            from pathlib import Path
            sys.path.insert(0, ".")
            from featurestore.online.lmdb_store import LmdbStore
            from tests.contract.online.commit_suite import commit_of, entry
            entries = [entry(b"%d" % i, expires_us=1 + i % 2, payload=bytes(500)) for i in range(1000)]
            LmdbStore(Path(sys.argv[1])).apply(commit_of(1, [], entries))
            """
        with closing(LmdbStore(tmp_path / "grown", initial_map_bytes=2**16)) as store:
            in_another_process(code, str(tmp_path / "grown"))
            assert store.sweep(1, 10_000) == 500
            assert store.sweep(1, 10_000) == 0

    def test_a_sweep_that_finds_nothing_writes_nothing(self, store):
        store.apply(commit_of(1, [], [entry(b"%d" % i, expires_us=100) for i in range(50)]))
        before = self.raw.info()["last_txnid"]
        assert store.sweep(99, 1000) == 0
        assert self.raw.info()["last_txnid"] == before
        assert store.sweep(100, 1000) == 50
        assert self.raw.info()["last_txnid"] == before + 1

    def test_two_processes_that_write_keep_the_newest(self, store):
        code = """
            import sys
            from pathlib import Path
            sys.path.insert(0, ".")
            from featurestore.online.lmdb_store import LmdbStore
            from tests.contract.online.suite import put_of
            store = LmdbStore(Path(sys.argv[1]))
            print(sum(store.put_many([put_of(b"i:1", s, 0)]).written for s in range(0, 200, 2)))
            """
        other = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(self.folder)],
            cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with other:
            for sequence in range(1, 200, 2):
                store.put_many([put_of(b"i:1", sequence, 0)])
            other.wait(60)
        assert self.raw_get(keys_of(b"i:1")[0]) == row(199, 0)

    def test_a_reader_that_was_killed_leaves_no_slot_behind(self, store):
        code = """
            import os, sys
            from pathlib import Path
            from featurestore.online.lmdb_store import LmdbStore
            store = LmdbStore(Path(sys.argv[1]))
            reading = store._open()._environment.begin()
            reading.get(b"k")
            os.kill(os.getpid(), 9)
            """
        for _ in range(3):
            with pytest.raises(subprocess.CalledProcessError):
                in_another_process(code, str(self.folder))
        in_another_process(code.replace("os.kill(os.getpid(), 9)", "reading.abort()"), str(self.folder))
        assert self.raw.reader_check() == 0

    def test_a_child_of_a_fork_reads_and_writes_by_a_handle_of_its_own(self, tmp_path):
        """In a process of its own: pytest itself is not to be forked."""
        code = """
            import os, sys
            from pathlib import Path
            from featurestore.online.lmdb_store import LmdbStore
            from tests.contract.online.suite import put_of
            store, key = LmdbStore(Path(sys.argv[1])), put_of(b"i:1", 1, 1).row_key
            store.put_many([put_of(b"i:1", 1, 1)])
            inherited = store._open()
            if os.fork() == 0:
                status = 1
                try:
                    assert store._open() is not inherited
                    assert store.get_many([key]) == LmdbStore(Path(sys.argv[1])).get_many([key])
                    store.put_many([put_of(b"i:1", 2, 1)])
                    store.close()
                    status = 0
                finally:
                    os._exit(status)
            print(os.wait()[1], store.get_many([key]) == [put_of(b"i:1", 2, 1).row])
            """
        assert in_another_process(code, str(tmp_path / "forked")) == "0 True\n"

    def test_a_commit_is_synced_before_it_is_acknowledged(self):
        flags = self.raw.flags()
        assert flags["sync"]
        assert flags["metasync"]

    def test_a_fetch_never_suspends(self, store):
        reading = store.reader().fetch([b"k"])
        with pytest.raises(StopIteration) as done:
            reading.send(None)
        assert done.value.value == [None]

    def test_a_closed_store_says_so(self):
        store = self.open()
        store.close()
        with pytest.raises(OnlineStoreUnavailable, match="closed"):
            store.get_many([b"k"])
        with pytest.raises(OnlineStoreUnavailable, match="closed"):
            asyncio.run(store.reader().fetch([b"k"]))

    def test_a_folder_that_cannot_be_made_or_holds_something_else_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OnlineStoreUnavailable, match=r"file/online"):
            LmdbStore(tmp_path / "file" / "online")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "data.mdb").write_bytes(b"not LMDB at all" * 1000)
        with pytest.raises(OnlineStoreUnavailable, match=r"other.*LMDB says") as caught:
            LmdbStore(tmp_path / "other")
        assert isinstance(caught.value.__cause__, lmdb.Error)
        assert caught.value.mend
