"""A process that runs the ingest program over the shop's stream until its standard input ends, or it is killed."""

import sys
from pathlib import Path
from threading import Event, Thread

from featurestore.foundation.clock import SystemClock
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.program import IngestProgram, Means, streamed_sources
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.online.open_store import open_store
from tests.fault.shop_stream import sales, spending, trade

folder, url = Path(sys.argv[1]), sys.argv[2]
clock = SystemClock()
program = IngestProgram(
    lambda: streamed_sources([sales], [spending, trade]),
    Means(
        lambda source: open_stream(url, folder / "stream", source, backlog_limit_rows=10**6, clock=clock),
        open_store(url),
        open_offline_store(folder / "offline", threads=1),
        folder / "offline",
        clock,
        DeadLetters(folder / "dead", clock),
        IngestSettings(commit_rows=40, history_interval_s=0.05, lease_ttl_s=1.0),
        lambda happening: print(happening.kind, happening.source, happening.detail, flush=True),
    ),
)
stop = Event()
Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
program.run(stop)
