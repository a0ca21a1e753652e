"""Run a command beside a redis-server of its own: ``python -m scripts.with_redis COMMAND...``.

``{url}`` in the command becomes the server's URL. The server syncs each write to disk before it answers (appendfsync
always), stands on a free loopback port in a temporary folder, and ends with the command. Exit status: the command's;
77 with a word on stderr if there is no redis-server.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers import RedisServer, ServerUnavailableError

DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
SKIPPED = 77


def main(command: list[str]) -> int:
    """Run the command and return its exit status."""
    with tempfile.TemporaryDirectory(prefix="unskew-redis-") as folder:
        try:
            server = RedisServer(Path(folder), settings=DURABLE).start()
        except ServerUnavailableError as error:
            sys.stderr.write(f"skipped, no redis-server: {error}\n")
            return SKIPPED
        try:
            return subprocess.run([part.replace("{url}", server.url) for part in command], check=False).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
