"""Ten million logged values are audited in under a minute and two gibibytes, on two cores."""

import json
import os
import resource
import subprocess
import sys
import time

import pytest

from tests.large_log import VALUES, LargeLog

PREDICTIONS = 500_000


@pytest.mark.long
def test_ten_million_values_in_a_minute_and_two_gibibytes(tmp_path):
    """The figures are printed; what they were on the development machine stands in docs/audit.md."""
    LargeLog(tmp_path / "large", PREDICTIONS, cards=20_000, imported=500_000, streamed=100_000, commits=30_000)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "unskew", "audit", "--project", str(tmp_path / "large"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]),
    )
    seconds = time.monotonic() - began
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    print({"values": report["compared"], "seconds": round(seconds, 1), "peak_gib": round(peak_gib, 2)})
    assert (report["compared"], report["mismatches"]) == (PREDICTIONS * VALUES, 0)
    assert seconds < 60
    assert peak_gib < 2


def test_a_large_log_is_equal_to_history_at_every_commit(tmp_path):
    """The generator's small brother: stream commits beside an import, each read as of its own commit."""
    LargeLog(tmp_path / "small", 2_000, cards=50, imported=2_000, streamed=1_000, commits=300)
    done = subprocess.run(
        [sys.executable, "-m", "unskew", "audit", "--project", str(tmp_path / "small"), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["compared"], report["mismatches"]) == (0, 2_000 * VALUES, 0)
    assert report["history"] == {"payments": 301}
