import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from featurestore.catalog import applied_history, apply, current_catalog, load_applied
from featurestore.foundation.clock import FixedClock
from featurestore.foundation.errors import CatalogError
from tests.unit.featurestore.catalog.project import FEATURES, changed, load

CLOCK = FixedClock(1_500_000_000_000_000)
BREAKING = changed(("quantity > 0", "quantity > 1"))
ADDING = changed(('Last("store_id")]', 'Last("store_id"), Count(over="1d")]'))


def test_the_first_apply_is_revision_one(tmp_path: Path) -> None:
    assert current_catalog(tmp_path) is None
    catalog = load(tmp_path)
    result = apply(catalog, tmp_path, CLOCK)
    assert result.written
    assert result.applied == current_catalog(tmp_path)
    assert (result.applied.revision, result.applied.digest) == (1, catalog.digest)
    assert result.applied.applied_at_us == 1_500_000_000_000_000
    assert result.applied.description == catalog.describe()
    assert result.applied.path == tmp_path / "catalog" / f"000001-{catalog.digest}.json"


def test_applying_what_is_in_force_writes_nothing(tmp_path: Path) -> None:
    first = apply(load(tmp_path), tmp_path, CLOCK)
    second = apply(load(tmp_path), tmp_path, CLOCK)
    assert not second.written
    assert second.applied == first.applied
    assert len(applied_history(tmp_path)) == 1


def test_a_breaking_change_needs_leave(tmp_path: Path) -> None:
    apply(load(tmp_path), tmp_path, CLOCK)
    with pytest.raises(CatalogError, match="FeatureView spending: where") as caught:
        apply(load(tmp_path, BREAKING), tmp_path, CLOCK)
    assert "--allow-breaking" in (caught.value.mend or "")
    assert len(applied_history(tmp_path)) == 1
    allowed = apply(load(tmp_path, BREAKING), tmp_path, CLOCK, allow_breaking=True)
    assert allowed.applied.breaking_allowed
    assert [applied.revision for applied in applied_history(tmp_path)] == [1, 2]
    assert current_catalog(tmp_path) == allowed.applied


def test_an_addition_needs_none_and_leaves_the_old_file_alone(tmp_path: Path) -> None:
    first = apply(load(tmp_path), tmp_path, CLOCK).applied
    bytes_before = first.path.read_bytes()
    second = apply(load(tmp_path, ADDING), tmp_path, CLOCK, allow_breaking=True).applied
    assert not second.breaking_allowed
    assert first.path.read_bytes() == bytes_before


def test_what_is_only_told_is_applied_under_the_same_digest(tmp_path: Path) -> None:
    first = apply(load(tmp_path), tmp_path, CLOCK).applied
    second = apply(load(tmp_path, changed(("ann", "ben"))), tmp_path, CLOCK).applied
    assert (second.revision, second.digest) == (2, first.digest)


def test_loading_what_is_in_force(tmp_path: Path) -> None:
    catalog = load(tmp_path)
    with pytest.raises(CatalogError, match="no definitions were applied"):
        load_applied(tmp_path / "features.py", tmp_path)
    apply(catalog, tmp_path, CLOCK)
    assert load_applied(tmp_path / "features.py", tmp_path).digest == catalog.digest
    (tmp_path / "features.py").write_text(BREAKING)
    with pytest.raises(CatalogError, match=r"differ from revision 1.*FeatureView spending: where.*and 4 more"):
        load_applied(tmp_path / "features.py", tmp_path)


@pytest.mark.parametrize("spoil", ["description", "digest", "cut", "empty", "name", "list"])
def test_an_altered_file_is_refused(tmp_path: Path, spoil: str) -> None:
    path = apply(load(tmp_path), tmp_path, CLOCK).applied.path
    record = json.loads(path.read_text())
    if spoil == "description":
        record["catalog"]["views"]["spending"]["definition"]["ttl_us"] = 5
    elif spoil == "digest":
        record["digest"] = "0" * 64
    if spoil == "name":
        path.rename(path.with_name("000002" + path.name[6:]))
    elif spoil in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 100 if spoil == "cut" else 0])
    else:
        path.write_text(json.dumps([record] if spoil == "list" else record))
    with pytest.raises(CatalogError, match=r"altered|cannot be read"):
        current_catalog(tmp_path)


def test_concurrent_applies_follow_one_another(tmp_path: Path) -> None:
    catalogs = [load(tmp_path / str(n), changed(("ann", f"owner_{n}"))) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda catalog: apply(catalog, tmp_path, CLOCK), catalogs))
    assert sorted(result.applied.revision for result in results) == list(range(1, 9))
    owners = [dict(a.description["views"]["spending"]["about"])["owner"] for a in applied_history(tmp_path)]
    assert sorted(owners) == sorted(f"owner_{n}" for n in range(8))


@pytest.mark.slow
def test_a_kill_leaves_whole_revisions(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(FEATURES)
    program = """
import sys, pathlib, itertools
from featurestore.catalog import apply, load_definitions
from featurestore.foundation.clock import FixedClock
folder = pathlib.Path(sys.argv[1])
text = (folder / "features.py").read_text()
for number in itertools.count():
    (folder / "live.py").write_text(text.replace("ann", f"owner_{number}"))
    print(apply(load_definitions(folder / "live.py"), folder, FixedClock(1)).applied.revision, flush=True)
"""
    acknowledged = 0
    for pause in (0.05, 0.11, 0.17):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert child.stdout is not None
        acknowledged = int(child.stdout.readline())
        time.sleep(pause)
        child.send_signal(signal.SIGKILL)
        rest = [int(line) for line in child.stdout.read().splitlines() if line]
        acknowledged = max([acknowledged, *rest])
        child.wait()
        child.stdout.close()
        history = applied_history(tmp_path)
        assert [applied.revision for applied in history] == list(range(1, len(history) + 1))
        assert acknowledged <= len(history) <= acknowledged + 1
