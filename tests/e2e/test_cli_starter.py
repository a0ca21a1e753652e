"""What `unskew init` makes runs: the commands of its README, typed as they stand there, by real processes."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.unit.unskew.cli.test_json_shapes import documented

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
MODEL = "next_week_amount"


def type_(command, folder, *more):
    """Run a line of the README in the project's folder."""
    words = shlex.split(command, comments=True)
    assert words[0] == "unskew"
    return subprocess.run(
        [sys.executable, "-m", *words, *more], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )


def commands(readme, number):
    """Return the lines of a console block that start with ``unskew``, but for the one that would serve."""
    lines = BLOCK.findall(readme)[number].splitlines()
    return [line for line in lines if line.startswith("unskew ") and not line.startswith("unskew serve")]


@contextmanager
def served(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "unskew", "serve", "--port", "0", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        assert set(told) == documented()["serve"]
        with httpx.Client(base_url=told["url"], timeout=30) as client:
            for _ in range(200):
                with suppress(httpx.TransportError):
                    if client.get("/readyz").status_code == 200:
                        break
                time.sleep(0.05)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)
        process.stdout.close()
    assert status == 0


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "shop"
    type_(f"unskew init {folder}", tmp_path)
    readme = (folder / "README.md").read_text()
    for command in commands(readme, 0):
        type_(command, folder)
    return folder


def test_the_commands_of_the_readme_lead_to_predictions_that_are_logged(project):
    readme = (project / "README.md").read_text()
    body = re.search(r"-d '(.+)'", readme)
    assert body is not None
    with served(project) as client:
        answer = client.post(f"/v1/models/{MODEL}/predict", json=json.loads(body[1])).raise_for_status().json()
        assert answer["outputs"]["prediction"] > 0
        assert answer["features"]["customer_ordering.count_28d"]["value"] == 3
    (tail,) = commands(readme, 1)
    told = json.loads(type_(tail, project, "--json").stdout)
    assert set(told) == documented()["predictions tail"]
    assert [each["prediction_id"] for each in told["predictions"]] == [answer["prediction_id"]]
    found = json.loads(type_(f"unskew predictions find {answer['prediction_id']} --json", project).stdout)
    assert set(found) == documented()["predictions find"]
    assert found["outputs"]["prediction"] == answer["outputs"]["prediction"]
    assert answer["prediction_id"] in type_(f"unskew predictions find {answer['prediction_id']}", project).stdout
    assert answer["prediction_id"] in type_(tail, project).stdout


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_feature_of_one_s_own_is_ten_lines_of_the_readme_away(project):
    """The new version answers after a restart, and so does the old one, once it is rolled back to."""
    mean = '        Mean("amount", over="28d"),\n'
    edit(project / "features.py", mean, f'{mean}        Max("amount", over="28d"),\n')
    edit(project / "features.py", "    Last,\n", "    Last,\n    Max,\n")
    readme = (project / "README.md").read_text()
    service = re.search(r"`(\w+ = FeatureService\(.+\))`", readme)
    reads = re.search(r"`(service=.+)`", readme)
    assert service is not None
    assert reads is not None
    (project / "features.py").write_text((project / "features.py").read_text() + f"\n{service[1]}\n")
    edit(project / "models.py", 'service="next_week_amount_inputs"', reads[1])
    plan = json.loads(type_("unskew plan --json", project).stdout)
    assert plan["breaking"] is False
    for command in commands(readme, 3):
        type_(command, project)
    asked = {"keys": {"customer_id": 7}, "options": {"explain": True}}
    with served(project) as client:
        answer = client.post(f"/v1/models/{MODEL}/predict", json=asked).raise_for_status().json()
        type_(f"unskew rollback {MODEL} --reason back", project)
        until = time.monotonic() + 20
        while (back := client.post(f"/v1/models/{MODEL}/predict", json=asked).json())["version"] != 1:
            assert time.monotonic() < until, back
            time.sleep(0.1)
        assert client.get("/readyz").json()["stale"] == {}
    assert answer["version"] == 2
    assert answer["features"]["customer_ordering.amount_max_28d"]["status"] == "present"
    assert "customer_ordering.amount_max_28d" not in back["features"]
