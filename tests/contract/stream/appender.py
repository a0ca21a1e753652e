"""Append to a stream until killed, and say what was acknowledged; arguments: URL FOLDER NAME."""

import sys
from pathlib import Path

from featurestore.ingestion.stream.open_stream import open_stream


def main(url: str, folder: str, name: str) -> None:
    stream = open_stream(url, Path(folder), "sales", backlog_limit_rows=10**9)
    number = 0
    while True:
        payloads = [(f"{name}:{number + i}".encode(), 1 + i) for i in range(3)]
        stream.append(payloads)
        number += 3
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
