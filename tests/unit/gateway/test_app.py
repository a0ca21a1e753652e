import asyncio
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from featurestore.foundation.errors import CatalogError
from gateway.app import create_app, refuse_other_hosts, serve
from gateway.errors import SettingsError
from tests.serving_project import LocalGateway, changed, logged, stocked_project, with_row

HEAVY = ("duckdb", "pandas", "sklearn", "onnx", "polars", "scipy", "skl2onnx")


@pytest.fixture
def project(tmp_path):
    made = stocked_project(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_is_served(project, host):
    refuse_other_hosts(changed(project.settings, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_other_hosts_are_refused_with_a_mend(project, host):
    settings = changed(project.settings, host=host)
    for refuse in (refuse_other_hosts, create_app, serve):
        with pytest.raises(SettingsError, match="not a loopback address") as caught:
            refuse(settings)
        assert "proxy" in (caught.value.mend or "")


def test_leaving_flushes_the_log(project):
    slow = project.settings.predictions.model_copy(update={"flush_interval_ms": 60_000})
    project.settings = project.settings.model_copy(update={"predictions": slow})
    with LocalGateway(project) as gateway:
        for _ in range(7):
            gateway.predict(with_row(17))
        assert logged(project) == []
    assert len(logged(project)) == 7


def test_the_log_says_how_it_fares(project):
    with LocalGateway(project) as gateway:
        gateway.predict(with_row(17))
        gateway.settle_until(lambda: len(logged(project)) == 1)
        metrics = gateway.get("/metrics").text
    assert 'unskew_prediction_log_rows_total{fate="written"} 1.0' in metrics
    assert 'unskew_prediction_log_rows_total{fate="dropped"} 0.0' in metrics
    assert "unskew_prediction_log_waiting_rows 0.0" in metrics


def test_definitions_that_were_not_applied_are_not_served(project):
    file = project.settings.project.definitions
    file.write_text(file.read_text().replace('over="7d"', 'over="8d"'))
    with pytest.raises(CatalogError, match="unskew apply"):
        create_app(project.settings)


def test_it_may_run_again_after_it_has_stopped(project):
    gateway = LocalGateway(project)

    async def twice():
        for _ in range(2):
            async with gateway.app.running():
                pass

    asyncio.run(twice())


def test_a_port_that_is_taken_is_named(project):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1 port {port}") as caught:
            serve(changed(project.settings, port=port), project.catalog)
    assert "port" in (caught.value.mend or "")


def test_a_store_that_cannot_be_opened_ends_serving_with_its_error(project):
    (project.folder / "blocked").write_text("a file where a folder should be")
    url = f"lmdb://{project.folder}/blocked/online"
    told = run_python(
        f"""
        from pathlib import Path
        from featurestore.foundation.errors import UnskewError
        from gateway.app import serve
        from gateway.settings import load_settings
        try:
            serve(load_settings(Path({str(project.folder)!r})))
        except UnskewError as error:
            print(type(error).__name__, error)
        """,
        UNSKEW_ONLINE__URL=url,
    )
    assert told.stdout.startswith("OnlineStoreUnavailable")
    assert f"{project.folder}/blocked/online" in told.stdout
    assert "Traceback" not in told.stderr


def test_serving_predictions_needs_nothing_heavy(project):
    """Where these cannot be imported at all, a prediction is answered, explained and logged."""
    told = run_python(
        f"""
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {HEAVY!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Absent())
        import asyncio, httpx
        from pathlib import Path
        from gateway.app import create_app
        from gateway.settings import load_settings

        async def predict():
            app = create_app(load_settings(Path({str(project.folder)!r})))
            transport = httpx.ASGITransport(app)
            async with app.running(), httpx.AsyncClient(transport=transport, base_url="http://g") as client:
                body = {{"keys": {{"household_id": 17}}, "inputs": {{"basket_value": 1}}}}
                return (await client.post("/v1/models/spend/predict", json=body)).status_code

        print(asyncio.run(predict()))
        """
    )
    assert told.stdout.strip() == "200", told.stderr
    assert len(logged(project)) == 1


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
        env={**os.environ, **environment},
        check=False,
    )
