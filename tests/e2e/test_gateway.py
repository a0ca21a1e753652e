"""The gateway as a process: real sockets, real stores, kills and restarts."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.serving_project import (
    Basket,
    ServingProject,
    log_lines,
    logged,
    served,
    start,
    stocked_project,
    stop,
    with_row,
)

pytestmark = pytest.mark.e2e
PATH = "/v1/models/spend/predict"


@pytest.fixture(params=["lmdb", pytest.param("redis", marks=pytest.mark.redis)])
def project(request, tmp_path):
    url = "lmdb:online"
    if request.param == "redis":
        url = request.getfixturevalue("start_redis")().url
    made = stocked_project(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def local(tmp_path):
    made = stocked_project(tmp_path)
    yield made
    made.close()


def eventually(holds, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.02)


def test_many_clients_at_once_each_get_their_own_answers(project):
    households = range(1000, 1100)
    for household in households:
        project.put_household(household, [Basket(1, household * 100)])

    def ask(client: httpx.Client, household: int) -> tuple[int, str]:
        answer = client.post(PATH, json={**with_row(household), "options": {"explain": True}}).json()
        assert answer["outputs"]["numbers"][0] == household
        assert answer["features"]["spending.net_sum_30d"]["value"] == household
        return household, answer["prediction_id"]

    with served(project) as client, ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(lambda n: ask(client, households[n % 100]), range(800)))
    by_id = {row["prediction_id"]: row["key.household"] for row in logged(project)}
    assert by_id == {prediction_id: household for household, prediction_id in asked}
    assert sorted(row["sequence"] for row in logged(project)) == list(range(800))


def test_promotion_is_picked_up_under_load_without_an_error(local):
    project, statuses, versions = local, [], []
    stopping = threading.Event()

    def load(url: str) -> None:
        with httpx.Client(base_url=url, timeout=10) as client:
            while not stopping.is_set():
                answer = client.post(PATH, json=with_row(17))
                statuses.append(answer.status_code)
                versions.append(answer.json()["version"])

    with served(project) as client:
        threads = [threading.Thread(target=load, args=(str(client.base_url),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(1, 4):
            record = project.deploy(shift=float(n))
            eventually(lambda version=record.version: version in versions[-5:])
        stopping.set()
        for thread in threads:
            thread.join()
        last = client.post(PATH, json=with_row(17)).json()
    assert set(statuses) == {200}
    assert (last["version"], last["outputs"]["score"]) == (4, 68.0)


def test_a_restart_answers_the_same_and_the_log_goes_on(local):
    answers = []
    for _ in range(2):
        with served(local) as client:
            answers.append(client.post(PATH, json=with_row(17)).json())
    assert answers[0]["outputs"] == answers[1]["outputs"]
    assert len({answer["prediction_id"] for answer in answers}) == 2
    rows = logged(local)
    assert [row["prediction_id"] for row in rows].sort() == [each["prediction_id"] for each in answers].sort()
    assert len({row["worker"] for row in rows}) == 2


def test_a_stop_finishes_what_is_in_work_and_flushes_the_log(local):
    process, url = start(local, UNSKEW_PREDICTIONS__FLUSH_INTERVAL_MS="60000")
    with httpx.Client(base_url=url, timeout=10) as client:
        ids = [client.post(PATH, json=with_row(17)).json()["prediction_id"] for _ in range(20)]
    assert logged(local) == []
    assert stop(process, signal.SIGINT) == 0
    assert sorted(row["prediction_id"] for row in logged(local)) == sorted(ids)
    assert {line["level"] for line in log_lines(local)} == {"info"}


@pytest.mark.redis
def test_a_dead_store_is_named_and_recovers_by_itself(start_redis, tmp_path):
    server = start_redis(("--save", "", "--appendonly", "yes", "--appendfsync", "always"))
    project = stocked_project(tmp_path, server.url)
    with served(project) as client:
        assert client.post(PATH, json=with_row(17)).status_code == 200
        server.kill()
        dead = client.post(PATH, json=with_row(17))
        ready = client.get("/readyz")
        server.start()
        eventually(lambda: client.post(PATH, json=with_row(17)).status_code == 200)
    project.close()
    assert (dead.status_code, dead.json()["code"]) == (503, "store-unavailable")
    assert str(server.port) in dead.json()["error"]
    assert (ready.status_code, str(server.port) in ready.json()["online_store"]) == (200, True)


def test_materialising_while_serving_is_seen_at_once(project):
    with served(project) as client:
        before = client.post(PATH, json=with_row(500)).json()["outputs"]["numbers"]
        project.put_household(500, [Basket(1, 700)])
        after = client.post(PATH, json=with_row(500)).json()["outputs"]["numbers"]
    assert (before[0], after[0]) == ("NaN", 7.0)


def test_a_gateway_without_models_serves_once_one_is_promoted(tmp_path):
    project = ServingProject(tmp_path)
    project.complete()
    with served(project) as client:
        assert client.get("/readyz").status_code == 503
        project.deploy()
        eventually(lambda: client.get("/readyz").status_code == 200)
        assert client.post(PATH, json=with_row(17)).status_code == 200
    project.close()


def test_killed_in_the_middle_it_starts_again_and_no_file_is_torn(local):
    process, url = start(local)
    with httpx.Client(base_url=url, timeout=10) as client:
        for _ in range(50):
            client.post(PATH, json={"rows": [with_row(17)] * 20})
    stop(process, signal.SIGKILL)
    with served(local) as client:
        assert client.post(PATH, json=with_row(17)).status_code == 200
    rows = logged(local)
    assert 1 <= len(rows) <= 1001
    assert len({row["prediction_id"] for row in rows}) == len(rows)
