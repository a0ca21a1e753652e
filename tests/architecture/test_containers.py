"""The container files parse, name what exists, and open nothing to the network."""

import re
import shlex

import pytest
import yaml

from gateway.settings import SECTIONS
from tests.architecture.linting import REPOSITORY, STOREYS

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]


def test_what_the_image_copies_exists_and_is_not_ignored():
    copied = [source for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]]
    kept = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(STOREYS) <= set(copied)
    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
    assert set(copied) == kept


def test_the_image_runs_as_a_user_of_its_own():
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert user not in {"root", "0"}


def test_the_image_has_a_python_we_support():
    (major, minor) = re.findall(r"^FROM python:(\d+)\.(\d+)", DOCKERFILE, re.MULTILINE)[0]
    assert (3, 11) <= (int(major), int(minor)) < (3, 14)


def test_compose_sets_only_settings_that_exist(services):
    for variable in services["gateway"]["environment"]:
        section, key = variable.removeprefix("UNSKEW_").lower().split("__")
        assert key in SECTIONS[section].model_fields


def test_compose_asks_the_port_that_the_gateway_listens_on(services):
    check = shlex.join(services["gateway"]["healthcheck"]["test"])
    assert f":{SECTIONS['gateway'].model_fields['port'].default}/livez" in check


def test_compose_publishes_on_loopback_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_waits_for_services_that_exist(services):
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
