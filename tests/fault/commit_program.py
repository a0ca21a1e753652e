"""A process that makes commit after commit in an online store, says which it made, and can be killed or taken over.

Each commit changes the same keys, two of them with tiles, appends to their logs, and names its predecessor. When the
process begins, it goes on from what is stored, as a committer does: the commit of the record is made again.
"""

import sys
from contextlib import closing

from featurestore.online.errors import OnlineStoreUnavailable, OwnershipLost
from featurestore.online.open_store import open_store
from tests.contract.online.commit_suite import NONE, SOURCE, change_of, commit_of, entry, stamp


def commit(sequence, keys, epoch):
    expected = stamp(sequence - 1) if sequence > 1 else NONE
    changes = [
        change_of(
            b"i:%d" % i, sequence, expected, append=True,
            parts={b"%d" % sequence: b"tile", b"%d" % (sequence - 1): None} if i < 2 else None,
        )
        for i in range(keys)
    ]  # fmt: skip
    return commit_of(sequence, changes, [entry(b"%d" % i, payload=b"%d" % sequence) for i in range(keys)], epoch)


def run(url, keys, epoch, commits):
    with closing(open_store(url)) as store:
        store.raise_fence("baskets", epoch)
        (record,) = store.get_many([SOURCE.record])
        sequence = int(record.split()[1]) if record else 1
        for _ in range(commits):
            try:
                store.apply(commit(sequence, keys, epoch))
            except OwnershipLost:
                print("lost", sequence, flush=True)
                return
            except OnlineStoreUnavailable:
                continue
            print(sequence, flush=True)
            sequence += 1


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
