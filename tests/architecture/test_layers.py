"""The house stands as its contracts say, no room escapes them, and the prediction path is light."""

import importlib.util
import re
import subprocess
import sys

import pytest
from importlinter.api import read_configuration

from tests.architecture.linting import REPOSITORY, STOREYS, contract_verdicts, tracked

HEAVY = ("duckdb", "onnx", "pandas", "polars", "scipy", "skl2onnx", "sklearn")


def test_every_contract_holds():
    verdicts, output = contract_verdicts(REPOSITORY)
    assert set(verdicts.values()) == {"KEPT"}, output


def test_every_contract_is_run():
    configured = {contract["name"] for contract in _contracts()}
    verdicts, _ = contract_verdicts(REPOSITORY)
    assert set(verdicts) == configured


def test_every_top_level_package_is_under_contract():
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert packages - {"tests", "loadtests", "examples"} == set(STOREYS)


def test_every_storey_is_exhaustive():
    exhaustive = {contract["containers"] for contract in _contracts() if contract.get("exhaustive") == "True"}
    assert exhaustive == set(STOREYS)


def test_a_room_is_optional_only_while_it_is_not_built():
    optional = {
        f"{contract['containers']}/{room}"
        for contract in _contracts()
        if contract.get("exhaustive") == "True"
        for room in re.findall(r"\((\w+)\)", str(contract["layers"]))
    }
    built = {name.removesuffix("/__init__.py").removesuffix(".py") for name in tracked(*STOREYS)}
    assert optional & built == set(), "remove the parentheses in .importlinter"


def test_the_architecture_page_shows_the_rooms_that_are_built():
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    shown = {room.strip() for room in re.findall(r"```\n(unskew .*?)```", page, re.DOTALL)[0].split()}
    contracts = [contract for contract in _contracts() if contract.get("exhaustive") == "True"]
    built = {room for contract in contracts for room in re.findall(r"(?<!\()\b\w+\b(?!\))", str(contract["layers"]))}
    assert built - shown == set()


@pytest.mark.skipif(importlib.util.find_spec("gateway.app") is None, reason="gateway.app is not built yet")
def test_starting_the_gateway_loads_nothing_heavy():
    program = f"import sys, gateway.app; print(*(set({HEAVY!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []


def _contracts():
    return read_configuration(str(REPOSITORY / ".importlinter"))["contracts_options"]
