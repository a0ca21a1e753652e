import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from featurestore.definitions import Delay, EventSource, Int64, Timestamp
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.errors import StreamUnavailable
from featurestore.ingestion.stream.journal import Journal
from gateway.api.event_wire import decode_events
from gateway.errors import BacklogLimit, Overloaded, StreamFailed
from gateway.observability.metrics import Measures
from gateway.serving.append_round import Batch, append_what_fits
from gateway.serving.event_intake import EventIntake

SOURCE = EventSource(
    "clicks", schema={"id": Int64, "ts": Timestamp}, event_timestamp="ts", event_id="id",
    available_at=Delay("0s"), path="clicks.csv",
)  # fmt: skip


class Wrapped:
    """A journal that waits until it is released, or fails, as a slow or broken disk would."""

    def __init__(self, journal, released=None, failing=False):
        self.journal, self.released, self.failing = journal, released, failing
        self.appends = []
        self.entered = threading.Event()

    def __getattr__(self, name):
        return getattr(self.journal, name)

    def append(self, payloads):
        self.appends.append(sum(rows for _, rows in payloads))
        self.entered.set()
        if self.released is not None:
            self.released.wait(10)
        if self.failing:
            raise StreamUnavailable("the disk says no", where="the journal", mend="look at the disk")
        self.journal.append(payloads)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "stream", "clicks", backlog_limit_rows=100)
    yield made
    made.close()


@pytest.fixture
def make_intake(tmp_path):
    made = []

    def make(stream, **limits):
        letters = DeadLetters(tmp_path / "dead")
        chosen = {"in_flight_limit_requests": 1000, "in_flight_limit_bytes": 10**6} | limits
        made.append(EventIntake({"clicks": EventForm(SOURCE)}, lambda _: stream, letters, Measures(), **chosen))
        return made[-1]

    yield make
    for intake in made:
        intake.close()


def click(number):
    return {"id": number, "ts": "2017-12-30T10:00:00Z"}


async def send(intake, *events):
    body = orjson.dumps(list(events))
    with intake.admitted() as hold:
        hold(len(body))
        return await intake.take("clicks", len(body), lambda: decode_events(b"application/json", body, 1000))


def ids(stream):
    form = EventForm(SOURCE)
    return form.columns([entry.payload for entry in stream.read("", 10**6, 0)])["id"].to_pylist()


def test_a_stalled_disk_makes_requests_fail_and_not_memory_grow(make_intake, journal):
    released = threading.Event()
    stream = Wrapped(journal, released)
    intake = make_intake(stream, in_flight_limit_bytes=400)

    async def flood():
        waiting = [asyncio.create_task(send(intake, click(n))) for n in range(50)]
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        held = intake.held_bytes
        released.set()
        await asyncio.wait(waiting)
        return done, held, [task for task in waiting if task.exception() is None]

    refused, held, taken = asyncio.run(flood())
    assert {type(task.exception()) for task in refused} == {Overloaded}
    assert all(("retry-after", "1") in task.exception().headers for task in refused)
    assert (len(refused) + len(taken), 300 < held <= 400) == (50, True)
    assert sorted(ids(journal)) == sorted(range(len(taken)))
    assert (intake.held_bytes, intake.admission.in_flight) == (0, 0)


def test_the_loop_goes_on_while_a_disk_stalls(make_intake, journal):
    released = threading.Event()
    intake = make_intake(Wrapped(journal, released))

    async def main():
        waiting = asyncio.create_task(send(intake, click(1)))
        for _ in range(100):
            await asyncio.sleep(0)
        stalled = not waiting.done()
        released.set()
        return stalled, await waiting

    stalled, taken = asyncio.run(main())
    assert (stalled, taken.accepted) == (True, 1)


def test_all_who_wait_share_the_next_append(make_intake, journal):
    released = threading.Event()
    stream = Wrapped(journal, released)
    intake = make_intake(stream)

    async def main():
        first = asyncio.create_task(send(intake, click(0)))
        await asyncio.to_thread(stream.entered.wait, 10)
        others = [asyncio.create_task(send(intake, click(n), click(-n))) for n in range(1, 20)]
        await asyncio.sleep(0.01)
        released.set()
        return await asyncio.gather(first, *others)

    taken = asyncio.run(main())
    assert stream.appends == [1, 38]
    assert sum(each.accepted for each in taken) == 39


def test_a_stream_that_fails_fails_every_request_of_the_round(make_intake, journal):
    intake = make_intake(Wrapped(journal, failing=True))
    with pytest.raises(StreamFailed, match="the disk says no"):
        asyncio.run(send(intake, click(1)))


def test_dead_letters_that_cannot_be_written_are_told(tmp_path, make_intake, journal):
    """An answer that names dead letters promises them: without them there is none, and the client sends again."""
    (tmp_path / "dead").write_text("a file where the folder should be")
    with pytest.raises(StreamFailed):
        asyncio.run(send(make_intake(journal), click(1), {}))


def test_a_client_that_leaves_does_not_take_the_others_along(make_intake, journal):
    released = threading.Event()
    intake = make_intake(Wrapped(journal, released))

    async def main():
        tasks = [asyncio.create_task(send(intake, click(n))) for n in range(3)]
        await asyncio.sleep(0.02)
        tasks[1].cancel()
        released.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    told = asyncio.run(main())
    assert (told[0].accepted, isinstance(told[1], asyncio.CancelledError), told[2].accepted) == (1, True, 1)
    assert intake.held_bytes == 0


def batch(*numbers):
    reading = EventForm(SOURCE).read([click(n) for n in numbers])
    return Batch("", reading.payload, reading.rows, (), ())


def test_a_nearly_full_backlog_takes_the_first_that_fit_by_few_appends(tmp_path):
    journal = Journal(tmp_path / "small", "clicks", backlog_limit_rows=21)
    stream = Wrapped(journal)
    batches = [batch(n) for n in range(64)]
    errors = append_what_fits(stream, batches)
    assert [error is None for error in errors] == [True] * 21 + [False] * 43
    assert {type(error) for error in errors[21:]} == {BacklogLimit}
    assert ids(journal) == list(range(21))
    assert len(stream.appends) <= 13
    journal.close()


def test_a_batch_of_refused_rows_alone_needs_no_append(make_intake, journal):
    stream = Wrapped(journal)
    intake = make_intake(stream)

    async def main():
        return await asyncio.gather(send(intake, {}), send(intake, click(1)), return_exceptions=True)

    refused, taken = asyncio.run(main())
    assert (refused.members["accepted"], taken.accepted, stream.appends) == (0, 1, [1])


def test_threads_that_append_are_the_intakes_own(make_intake, journal):
    """Those of the event loop stay free for whoever else needs one."""
    intake = make_intake(journal)

    async def main():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        blocked = threading.Event()
        other = asyncio.get_running_loop().run_in_executor(None, blocked.wait, 10)
        taken = await send(intake, click(1))
        blocked.set()
        await other
        return taken

    assert asyncio.run(main()).accepted == 1
