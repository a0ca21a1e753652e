"""A process that materialises, says when it begins and after each batch, and can be killed at any moment."""

import sys
from pathlib import Path

from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.online.open_store import open_store
from tests.unit.featurestore.retrieval.household import NOON, spending

root, url, batch_rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
report = materialise(
    spending,
    open_offline_store(root / "offline", threads=1),
    open_store(url),
    NOON,
    Ledger(root / "ledger"),
    batch_rows=batch_rows,
    progress=lambda done, total: print(done, total, flush=True),
)
print("complete", report.rows, report.resumed, flush=True)
