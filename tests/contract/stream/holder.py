"""Take a source's lease and keep it until killed; arguments: URL FOLDER SECONDS."""

import sys
import time
from pathlib import Path

from featurestore.ingestion.stream.open_stream import open_stream


def main(url: str, folder: str, ttl_s: str) -> None:
    stream = open_stream(url, Path(folder), "sales", backlog_limit_rows=10)
    lease = stream.acquire("a holder", float(ttl_s))
    assert lease is not None
    print(lease.epoch, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
