"""Imports: all or nothing, nothing dropped unseen, nothing changed, nothing twice."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from featurestore.definitions import Delay, EventSource, TableSource
from featurestore.foundation.clock import FixedClock
from featurestore.foundation.errors import ImportRefused, OfflineStoreError
from featurestore.offline import snapshot
from featurestore.offline.event_import import import_file
from featurestore.offline.import_report import SHOWN_BAD_ROWS, RowsRefused
from featurestore.semantics.value import Float64, Int64, String, Timestamp

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MONTH_US = 40 * DAY_US
NOW_US = 1_700_000_000_000_000


@pytest.fixture
def root(tmp_path):
    return tmp_path / "offline"


def stored(root, source):
    return [row for path in snapshot.latest(root, source).paths for row in pq.read_table(path).to_pylist()]


def files_under(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock")


def test_rows_are_stored_by_month_with_the_stores_own_columns(take_in, rows, baskets, root):
    report = take_in(rows((1, MONTH_US), (2, 7), (3, 5), net=[1.25, -0.01, None]))
    assert (report.sequence, report.rows, report.quarantined) == (1, 3, 0)
    assert (report.min_event_us, report.max_event_us) == (5, MONTH_US)
    assert files_under(root) == [
        "sources/baskets/commits/000001.json",
        "sources/baskets/data/000001/1970-01.parquet",
        "sources/baskets/data/000001/1970-02.parquet",
    ]
    own = ("id", "__event_us", "__available_us", "__commit", "__row", "__deleted")
    assert [tuple(row[name] for name in own) for row in stored(root, baskets)] == [
        (3, 5, 5 + HOUR_US, 1, 2, False),
        (2, 7, 7 + HOUR_US, 1, 1, False),
        (1, MONTH_US, MONTH_US + HOUR_US, 1, 0, False),
    ]
    assert [str(row["net"]) for row in stored(root, baskets)] == ["None", "-0.01", "1.25"]


def test_values_survive_unchanged(take_in, rows, baskets, root):
    values = [-0.0, float("nan"), float("inf"), 5e-324, None]
    households = [2**63 - 1, -(2**63), None, 0, 2**53 + 1]
    take_in(rows(*((2**53 + i, i) for i in range(5)), value=values, household=households))
    found = stored(root, baskets)
    assert np.signbit(found[0]["value"])
    assert np.isnan(found[1]["value"])
    assert [row["value"] for row in found[2:]] == [float("inf"), 5e-324, None]
    assert [row["id"] for row in found] == [2**53 + i for i in range(5)]
    assert [row["household"] for row in found] == households


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow", "feather"])
def test_each_kind_of_file_gives_the_same_history(take_in, rows, baskets, root, tmp_path, kind):
    table = rows((1, 5), (2, 7), value=[0.1, None], net=[1.25, 2.5])
    path = tmp_path / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "csv":
        path.write_text(
            "id,household,ts,value,gone,net\n"
            "1,0,1970-01-01T00:00:00.000005Z,0.1,false,1.25\n2,1,1970-01-01T01:00:00.000007+01:00,,0,2.5\n"
        )
    else:
        pa.feather.write_feather(table, path)
    take_in(path)
    from_file = stored(root, baskets)
    assert import_file(baskets, table, root.parent / "other", FixedClock(0)).rows == 2
    assert from_file == stored(root.parent / "other", baskets)
    assert snapshot.latest(root, baskets).digest == snapshot.latest(root.parent / "other", baskets).digest


def test_a_folder_is_one_commit_and_later_only_its_new_files_are_read(take_in, rows, baskets, root, tmp_path):
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    pq.write_table(rows((1, 5)), folder / "a" / "1.parquet")
    pq.write_table(rows((2, 6)), folder / "2.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.txt").touch()
    assert (take_in(folder).rows, take_in(folder).already_imported) == (2, True)
    pq.write_table(rows((3, 7)), folder / "3.parquet")
    report = take_in(folder)
    assert (report.sequence, report.rows, len(report.inputs), len(report.skipped)) == (2, 1, 1, 2)
    (folder / "notes.txt").touch()
    with pytest.raises(ImportRefused, match=r"notes.txt: files named \*.txt cannot be read"):
        take_in(folder)


def test_the_same_bytes_are_not_imported_twice_whatever_their_name(take_in, rows, baskets, root, tmp_path):
    pq.write_table(rows((1, 5)), tmp_path / "a.parquet")
    pq.write_table(rows((1, 5)), tmp_path / "b.parquet")
    take_in(tmp_path / "a.parquet")
    before = files_under(root)
    again = take_in(tmp_path / "b.parquet")
    assert (again.sequence, again.rows, again.already_imported) == (1, 0, True)
    assert again.skipped == (str(tmp_path / "b.parquet"),)
    assert files_under(root) == before


def test_an_arrow_table_is_known_again_however_it_is_cut(take_in, rows):
    whole = rows((1, 5), (2, 6), (3, 7))
    take_in(whole)
    assert take_in(pa.concat_tables([whole.slice(0, 1), whole.slice(1)])).already_imported
    assert not take_in(whole.slice(0, 2)).already_imported


def test_a_correction_is_a_later_version(take_in, rows, baskets, root):
    take_in(rows((1, 5)))
    take_in(rows((1, 5), gone=[True]))
    assert [(row["__commit"], row["__deleted"]) for row in stored(root, baskets)] == [(1, False), (2, True)]


def test_a_tombstone_needs_no_values_but_identity_and_instants(take_in, rows, baskets, root):
    nothing = pa.nulls(1)
    take_in(rows((1, 5), household=nothing, value=nothing, net=nothing, gone=[True]))
    assert [row["__deleted"] for row in stored(root, baskets)] == [True]


@pytest.mark.parametrize(
    ("pairs", "columns", "reason"),
    [
        ([(None, 5)], {}, "row 1, column id: the row's identity is null"),
        ([(1, None)], {}, "row 1, column ts: the event timestamp is null"),
        ([(1, 5)], {"gone": [None]}, "row 1, column gone: the tombstone .true or false. is null"),
        ([(1, 5)], {"net": [0.001]}, "row 1, column net: 0.001 has more than 2 decimals"),
        ([(1, 253_402_300_799_999_999)], {}, "row 1, column ts: available_at is after the year 9999"),
    ],
)
def test_a_bad_row_refuses_the_import_and_nothing_is_written(take_in, rows, root, pairs, columns, reason):
    with pytest.raises(RowsRefused, match=reason) as caught:
        take_in(rows(*pairs, **{name: pa.array(items, _kind(name)) for name, items in columns.items()}))
    assert caught.value.total == 1
    assert files_under(root) == []


def _kind(name):
    return pa.bool_() if name == "gone" else pa.float64()


def test_the_first_bad_rows_are_told_and_all_are_counted(take_in, rows, root):
    count = 200_000
    table = rows(*((None, 5) for _ in range(count)))
    with pytest.raises(
        RowsRefused, match=f"(?s){count} of {count} rows.*and {count - SHOWN_BAD_ROWS} rows more"
    ) as caught:
        take_in(pa.concat_tables([table.slice(0, 0), table]))
    assert [cell.row for cell in caught.value.first] == list(range(1, SHOWN_BAD_ROWS + 1))
    assert files_under(root) == []


def test_bad_rows_are_set_aside_with_their_reasons_and_counted(take_in, baskets, root, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "id,household,ts,value,gone,net\n"
        "1,1,2017-01-01T00:00:00Z,x,false,1\n2,1,2017-01-01T00:00:00Z,1,false,1\n3,4\n,1,never,1,false,1\n"
    )
    report = take_in(path, on_bad="quarantine")
    assert (report.rows, report.quarantined) == (1, 3)
    commit = snapshot.latest(root, baskets).commits[0]
    assert commit.quarantined is not None
    assert commit.quarantined.rows == 3
    aside = pq.read_table(root / "sources/baskets" / commit.quarantined.path).to_pylist()
    assert [(row["__row_number"], row["__reasons"], row["__line"]) for row in aside] == [
        (2, ["value: 'x' is not a number"], None),
        (4, ["the record has 2 cells where the header has 6"], "3,4"),
        (5, ["ts: 'never' is not an instant such as 2017-12-31T18:30:00Z", "id: the row's identity is null"], None),
    ]
    assert aside[0]["value"] == "x"
    assert {row["__file"] for row in aside} == {str(path)}
    assert [row["__row"] for row in stored(root, baskets)] == [1]


def test_columns_that_the_schema_does_not_name_are_told_and_not_read(take_in, rows):
    assert take_in(rows((1, 5), coupon=["x"])).unread_columns == ("coupon",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename_columns({"value": "valu"}), "column 'value' is not in the file .did you mean 'valu'"),
        (lambda t: t.drop_columns(["net", "value"]), "column 'value' is not in the file, nor 'net'"),
        (lambda t: t.append_column("net", t["net"]), "two columns 'net'"),
        (lambda t: t.set_column(0, "id", pa.array(["1"])), "column id: the file has string where int64 is declared"),
        (lambda t: t.set_column(2, "ts", t["ts"].cast(pa.timestamp("us"))), 'without a time zone .*timezone="UTC"'),
    ],
)
def test_a_table_that_is_not_the_sources_is_refused_by_name(take_in, rows, root, change, message):
    with pytest.raises(ImportRefused, match=message):
        take_in(change(rows((1, 5))))
    assert files_under(root) == []


def test_files_that_cannot_be_read_are_refused_by_name(take_in, rows, root, tmp_path):
    pq.write_table(rows(*((i, i) for i in range(1000))), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.parquet").write_bytes(b"")
    (tmp_path / "text.arrow").write_text("id\n1\n")
    (tmp_path / "empty").mkdir()
    for name in ("cut.parquet", "none.parquet", "text.arrow", "empty", "absent.csv"):
        with pytest.raises(ImportRefused, match=f"{name}: "):
            take_in(tmp_path / name)
    assert files_under(root) == []


def test_old_96_bit_timestamps_are_refused_by_name(take_in, rows, tmp_path):
    pq.write_table(rows((1, 5)), tmp_path / "x.parquet", use_deprecated_int96_timestamps=True)
    with pytest.raises(ImportRefused, match="column ts holds INT96 timestamps"):
        take_in(tmp_path / "x.parquet")


def test_available_at_may_be_a_column_and_a_table_sources_identity_has_two(root):
    profile = TableSource(
        "profile",
        schema={"household": String, "since": Timestamp, "known": Timestamp, "income": Float64},
        key="household",
        effective_at="since",
        available_at="known",
        path="profile.csv",
        timezone="UTC",
    )
    instants = pa.array([5, 6, 7], pa.timestamp("us"))
    table = pa.table({"household": ["a", "b", None], "since": instants, "known": instants[::-1], "income": [1, 2, 3]})
    with pytest.raises(RowsRefused, match="row 3, column household: the row's identity is null"):
        import_file(profile, table, root, FixedClock(0))
    import_file(profile, table.slice(0, 2), root, FixedClock(0))
    assert [(row["__event_us"], row["__available_us"], row["income"]) for row in stored(root, profile)] == [
        (5, 7, 1.0),
        (6, 6, 2.0),
    ]


def test_a_source_may_gain_columns_but_not_change_what_its_rows_are(take_in, rows, baskets, root):
    def changed(**parts):
        kept = {"schema": dict(baskets.schema), "event_timestamp": "ts", "event_id": "id", "available_at": Delay("1h")}
        return EventSource("baskets", **{**kept, "tombstone": "gone", "path": "baskets/", **parts})

    take_in(rows((1, 5)))
    with pytest.raises(ImportRefused, match=r"identity was .'id'. and is .'household'."):
        take_in(rows((1, 6)), changed(event_id="household"))
    with pytest.raises(ImportRefused, match=r"column net was decimal.2. and is float64"):
        take_in(rows((1, 6)), changed(schema={**baskets.schema, "net": Float64}))
    wider = changed(schema={**baskets.schema, "coupon": String})
    assert take_in(rows((1, 6), coupon=["x"]), wider).sequence == 2
    assert snapshot.latest(root, wider).schema["coupon"] == "string"


def test_the_same_bytes_read_otherwise_are_imported_again(take_in, rows, baskets):
    naive = rows((1, 5)).set_column(2, "ts", pa.array([5], pa.timestamp("us")))
    kept = {"schema": baskets.schema, "event_timestamp": "ts", "event_id": "id", "tombstone": "gone", "path": "x"}
    for sequence, zone in enumerate(["UTC", "Europe/Berlin"], start=1):
        source = EventSource("baskets", **kept, available_at=Delay("1h"), timezone=zone)
        assert take_in(naive, source).sequence == sequence


def test_what_an_import_that_did_not_end_left_is_removed_by_the_next(take_in, rows, root):
    take_in(rows((1, 5)))
    folder = root / "sources/baskets"
    for left in ("data/000002.partial/1970-01.parquet", "data/000002/1970-01.parquet", "quarantine/000002.parquet"):
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).write_text("left")
    (folder / "commits/.000002.json.abc.tmp").write_text("left")
    take_in(rows((2, 6)))
    assert files_under(folder) == [
        "commits/000001.json",
        "commits/000002.json",
        "data/000001/1970-01.parquet",
        "data/000002/1970-01.parquet",
    ]


def test_a_file_that_changes_while_it_is_read_is_refused(take_in, rows, root, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,household,ts,value,gone,net\n1,1,2017-01-01T00:00:00Z,1,false,1\n")

    def meddle(_rows):
        path.write_text(path.read_text() + "2,1,2017-01-01T00:00:00Z,1,false,1\n")

    with pytest.raises(ImportRefused, match="changed while it was read"):
        take_in(path, progress=meddle)
    assert files_under(root) == []


def _import_one(number, source, root):
    table = pa.table({"id": [number], "ts": pa.array([number], pa.timestamp("us", "UTC"))})
    return import_file(source, table, root, FixedClock(0)).sequence


def test_imports_at_the_same_time_are_linear(root):
    source = EventSource(
        "clicks",
        schema={"id": Int64, "ts": Timestamp},
        event_timestamp="ts",
        event_id="id",
        available_at=Delay("0s"),
        path="x",
    )
    with ThreadPoolExecutor(8) as pool:
        sequences = list(pool.map(lambda number: _import_one(number, source, root), range(24)))
    assert sorted(sequences) == list(range(1, 25))
    assert snapshot.latest(root, source).rows == 24


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name an open file")
def test_the_manifest_is_named_last_after_all_else_is_on_the_disk(take_in, rows, monkeypatch):
    calls = []

    def noting(name, place):
        real = getattr(os, name)

        def noted(*arguments):
            calls.append((name, Path(place(arguments)).name))
            return real(*arguments)

        monkeypatch.setattr(os, name, noted)

    noting("replace", lambda arguments: arguments[1])
    noting("link", lambda arguments: arguments[1])
    noting("fsync", lambda arguments: Path(f"/proc/self/fd/{arguments[0]}").readlink())
    take_in(rows((1, 5)))
    placed = calls.index(("replace", "000001"))
    named = calls.index(("link", "000001.json"))
    assert calls.index(("fsync", "1970-01.parquet")) < placed
    assert calls.index(("fsync", "000001.partial")) < placed
    assert ("fsync", "data") in calls[placed:named]
    assert ("fsync", "baskets") in calls[placed:named]
    assert calls[named:] == [("link", "000001.json"), ("fsync", "commits")]


def test_nothing_at_all_is_a_commit_without_rows(take_in, rows, baskets, root):
    report = take_in(rows())
    assert (report.sequence, report.rows, report.min_event_us) == (1, 0, None)
    assert snapshot.latest(root, baskets).paths == ()


def test_a_disk_that_cannot_be_written_is_told(rows, baskets, tmp_path):
    (tmp_path / "offline").write_text("a file where the folder should be")
    with pytest.raises(OfflineStoreError, match="history cannot be written"):
        import_file(baskets, rows((1, 5)), tmp_path / "offline", FixedClock(0))


def test_a_correction_stays_the_later_version_when_its_source_changes(take_in, baskets, root, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    header = "id,household,ts,value,gone,net,note\n"
    (folder / "b-first.csv").write_text(f"{header}7,1,1970-01-01T00:00:00Z,100,0,1.5,x\n")
    take_in(folder)
    (folder / "a-correction.csv").write_text(f"{header}7,1,1970-01-01T00:00:00Z,999,0,1.5,y\n")
    take_in(folder)
    schema = dict(reversed(baskets.schema.items()))
    assert take_in(folder, dataclasses.replace(baskets, schema=schema)).already_imported
    longer = dataclasses.replace(baskets, schema={**baskets.schema, "note": String})
    assert take_in(folder, longer).rows == 2
    last = max(stored(root, longer), key=lambda row: (row["__commit"], row["__row"]))
    assert (last["value"], last["note"]) == (999.0, "y")
