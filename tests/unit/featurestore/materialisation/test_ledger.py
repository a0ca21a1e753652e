import json
from dataclasses import replace
from threading import Event, Thread

import pytest

from featurestore.foundation.errors import MaterialisationError
from featurestore.materialisation.ledger import BatchRecord, Ledger, RunPlan
from featurestore.online.envelope import Stamp

PLAN = RunPlan("spending", "ab" * 32, sequence=3, as_of_us=-5, keys=25, batch_rows=10)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger")


def file_of(ledger):
    (path,) = (ledger._root / PLAN.digest[:16]).glob("*.jsonl")
    return path


def record_of(batch):
    return BatchRecord(batch, 10, 4, 1)


def test_a_run_taken_up_again_knows_what_was_acknowledged(ledger):
    with ledger.run(PLAN) as run:
        assert run.acknowledged == {}
        run.record(record_of(0))
        run.record(record_of(1))
    with ledger.run(PLAN) as run:
        assert run.acknowledged == {0: record_of(0), 1: record_of(1)}
    assert file_of(ledger).name == "000003--5.jsonl"


@pytest.mark.parametrize(
    "change", [{"sequence": 4}, {"as_of_us": -4}, {"batch_rows": 9}, {"keys": 26}, {"digest": "cd" * 32}]
)
def test_a_run_of_another_plan_knows_nothing_of_it(ledger, change):
    with ledger.run(PLAN) as run:
        run.record(record_of(0))
    with ledger.run(replace(PLAN, **change)) as run:
        assert run.acknowledged == {}


def test_every_cut_of_the_last_line_loses_that_line_alone(ledger):
    with ledger.run(PLAN) as run:
        run.record(record_of(0))
    before = file_of(ledger).read_bytes()
    with ledger.run(PLAN) as run:
        run.record(record_of(1))
    whole = file_of(ledger).read_bytes()
    for size in range(len(before), len(whole)):
        file_of(ledger).write_bytes(whole[:size])
        with ledger.run(PLAN) as run:
            assert list(run.acknowledged) == [0]
            run.record(record_of(2))
        with ledger.run(PLAN) as run:
            assert list(run.acknowledged) == [0, 2]


def test_a_cut_first_line_begins_the_run_anew(ledger):
    with ledger.run(PLAN):
        pass
    file_of(ledger).write_bytes(file_of(ledger).read_bytes()[:20])
    with ledger.run(PLAN) as run:
        run.record(record_of(0))
    with ledger.run(PLAN) as run:
        assert list(run.acknowledged) == [0]


def test_damage_elsewhere_names_file_line_and_mend(ledger):
    with ledger.run(PLAN) as run:
        run.record(record_of(0))
    path = file_of(ledger)
    path.write_bytes(path.read_bytes().replace(b'{"as_of', b"{as_of", 1))
    with (
        pytest.raises(MaterialisationError, match=r"000003--5.jsonl: line 1 is not JSON \(remove the file") as caught,
        ledger.run(PLAN),
    ):
        pass
    assert caught.value.where == str(path)


def test_completed_runs_are_listed_once_in_order_of_their_stamps(ledger):
    assert ledger.completed(PLAN.digest) == []
    for plan in (replace(PLAN, as_of_us=7), PLAN, PLAN):
        with ledger.run(plan) as run:
            run.complete()
            run.complete()
    with ledger.run(replace(PLAN, sequence=9)):
        pass
    assert ledger.completed(PLAN.digest) == [Stamp(3, -5), Stamp(3, 7)]
    lines = [json.loads(line) for line in file_of_plan(ledger, "000003--5.jsonl").read_text().splitlines()]
    assert lines[1:] == [{"complete": True}]


def test_a_second_run_of_a_view_waits_for_the_first(ledger):
    entered, leave, order = Event(), Event(), []

    def first():
        with ledger.run(PLAN):
            entered.set()
            leave.wait(10)
            order.append("first")

    def second():
        entered.wait(10)
        with ledger.run(replace(PLAN, as_of_us=9)):
            order.append("second")

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    entered.wait(10)
    threads[1].join(0.1)
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]


def file_of_plan(ledger, name):
    return ledger._root / PLAN.digest[:16] / name
