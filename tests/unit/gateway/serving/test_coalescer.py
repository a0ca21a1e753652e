import asyncio

import pytest

from featurestore.foundation.errors import OnlineStoreError
from gateway.serving.coalescer import Coalescer


class Rounds:
    """Doubles numbers, with a gate that a test opens, and keeps what each round was given."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []

    async def work(self, items):
        self.seen.append(list(items))
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return [2 * item for item in items]


def test_requests_of_one_moment_share_a_round_and_get_their_own_answers():
    async def scenario():
        rounds = Rounds()
        coalescer = Coalescer(rounds.work)

        async def ask(item):
            return await coalescer.submit(item)

        answers = await asyncio.gather(*(ask(n) for n in range(100)))
        assert answers == [2 * n for n in range(100)]
        assert rounds.seen == [list(range(100))]

    asyncio.run(scenario())


def test_those_that_come_while_a_round_is_under_way_go_together_into_the_next():
    async def scenario():
        rounds = Rounds()
        coalescer = Coalescer(rounds.work)
        rounds.gate.clear()
        first = coalescer.submit(1)
        await asyncio.sleep(0)
        later = [coalescer.submit(n) for n in (2, 3, 4)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert rounds.seen == [[1]]
        rounds.gate.set()
        assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
        assert rounds.seen == [[1], [2, 3, 4]]

    asyncio.run(scenario())


def test_nobody_waits_for_a_timer(monkeypatch):
    async def scenario():
        loop = asyncio.get_running_loop()
        coalescer = Coalescer(Rounds().work)
        for timer in ("call_later", "call_at"):
            monkeypatch.setattr(loop, timer, lambda *_: pytest.fail("a timer was set"))
        assert await coalescer.submit(1) == 2

    asyncio.run(scenario())


def test_a_cancelled_caller_leaves_alone():
    async def scenario():
        rounds = Rounds()
        coalescer = Coalescer(rounds.work)
        rounds.gate.clear()

        async def ask(item):
            return await coalescer.submit(item)

        asked = [asyncio.create_task(ask(n)) for n in range(6)]
        for _ in range(3):
            await asyncio.sleep(0)
        waiting = [asyncio.create_task(ask(n)) for n in range(6, 9)]
        await asyncio.sleep(0)
        for leaver in (asked[0], asked[3], waiting[1]):
            leaver.cancel()
        await asyncio.sleep(0)
        rounds.gate.set()
        answers = await asyncio.gather(*asked, *waiting, return_exceptions=True)
        stayed = {n: answer for n, answer in enumerate(answers) if not isinstance(answer, BaseException)}
        assert stayed == {n: 2 * n for n in range(9) if n not in (0, 3, 7)}
        assert rounds.seen == [[0, 1, 2, 3, 4, 5], [6, 8]]

    asyncio.run(scenario())


def test_an_error_reaches_the_callers_of_its_round_only():
    async def scenario():
        rounds = Rounds()
        rounds.errors = [OnlineStoreError("gone")]
        coalescer = Coalescer(rounds.work)
        failed = [coalescer.submit(n) for n in (1, 2)]
        await asyncio.sleep(0)
        fine = coalescer.submit(3)
        assert await fine == 6
        for future in failed:
            with pytest.raises(OnlineStoreError, match="gone"):
                await future

    asyncio.run(scenario())


def test_an_unforeseen_error_reaches_its_callers_and_work_goes_on():
    async def scenario():
        rounds = Rounds()
        rounds.errors = [ZeroDivisionError("a bug")]
        coalescer = Coalescer(rounds.work)
        rounds.gate.clear()
        failed = coalescer.submit(1)
        await asyncio.sleep(0)
        fine = coalescer.submit(2)
        rounds.gate.set()
        with pytest.raises(ZeroDivisionError):
            await failed
        assert await fine == 4

    asyncio.run(scenario())


def test_random_arrivals_and_departures_never_mix_answers_up():
    async def scenario():
        coalescer = Coalescer(Slow().work)

        async def ask(item):
            await asyncio.sleep(item % 7 / 1000)
            return await coalescer.submit(item)

        tasks = [asyncio.create_task(ask(n)) for n in range(300)]
        await asyncio.sleep(0.004)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for n, answer in enumerate(answers):
            assert answer == 2 * n or isinstance(answer, asyncio.CancelledError)
        assert sum(answer == 2 * n for n, answer in enumerate(answers)) >= 200

    class Slow:
        async def work(self, items):
            await asyncio.sleep(0.001)
            return [2 * item for item in items]

    asyncio.run(scenario())
