"""Each rule of the house catches a deliberate violation of it (a copy of the house without one keeps them all)."""

from dataclasses import dataclass

import pytest

from tests.architecture.linting import add_module, contract_verdicts, copy_house, ruff_findings


@dataclass(frozen=True)
class Violation:
    """One module that must not be, and the contract it breaks."""

    name: str
    module: str
    code: str
    broken: str


FORBIDDEN_IMPORTS = [
    Violation(
        "a lower storey imports a higher one",
        "featurestore.online.violation",
        "import gateway",
        "Four storeys",
    ),
    Violation(
        "a room imports the room above it",
        "featurestore.foundation.violation",
        "import featurestore.semantics",
        "Rooms of the feature store",
    ),
    Violation(
        "a room imports the room beside it",
        "featurestore.online.violation",
        "import featurestore.offline.room",
        "Rooms of the feature store",
    ),
    Violation(
        "a new room stands in no contract",
        "gateway.annexe",
        "ROOM = True",
        "Rooms of the gateway",
    ),
    Violation(
        "the gateway reads history",
        "gateway.observability.violation",
        "import featurestore.offline.room",
        "What the gateway uses of the feature store",
    ),
    Violation(
        "the lifecycle serves",
        "lifecycle.training.violation",
        "import gateway.serving.room",
        "What the lifecycle uses of the gateway",
    ),
    Violation(
        "meaning does input and output",
        "featurestore.semantics.violation",
        "import socket",
        "Meaning is pure",
    ),
    Violation(
        "a backend is used past its interface",
        "featurestore.catalog.violation",
        "def connect():\n    import lmdb\n\n    return lmdb",
        "LMDB behind its own module",
    ),
    Violation(
        "the web framework is used inside",
        "gateway.registry.violation",
        "import fastapi",
        "The web framework at the edge only",
    ),
]

WALL_CLOCKS = [
    "import time\n\nNOW = time.time()",
    "from time import time_ns\n\nNOW = time_ns()",
    "import datetime as dt\n\nNOW = dt.datetime.now(tz=dt.UTC)",
    "from datetime import date\n\nNOW = date.today()",
]


@pytest.mark.parametrize("violation", FORBIDDEN_IMPORTS, ids=lambda violation: violation.name)
def test_a_forbidden_import_breaks_its_contract(tmp_path, violation):
    house = copy_house(tmp_path)
    for room in ("featurestore.offline", "gateway.serving"):
        add_module(house, f"{room}.room", "BUILT = True")
    add_module(house, violation.module, violation.code)
    verdicts, output = contract_verdicts(house)
    assert verdicts[violation.broken] == "BROKEN", output


def test_a_heavy_library_at_third_hand_is_seen(tmp_path):
    """The gateway imports only rooms it may, but one of them leads to DuckDB."""
    house = copy_house(tmp_path)
    add_module(house, "gateway.observability.violation", "import featurestore.retrieval.online_features")
    path = add_module(house, "featurestore.retrieval.detour", "import featurestore.offline.duckdb_detour")
    add_module(house, "featurestore.offline.duckdb_detour", "import duckdb")
    online = path.with_name("online_features.py")
    code = online.read_text() if online.exists() else ""
    online.write_text(code + "\nimport featurestore.retrieval.detour\n")
    verdicts, output = contract_verdicts(house)
    assert verdicts["The prediction path is light"] == "BROKEN", output


@pytest.mark.parametrize("code", WALL_CLOCKS)
def test_reading_the_wall_clock_is_banned(tmp_path, code):
    house = copy_house(tmp_path)
    path = add_module(house, "featurestore.online.violation", code)
    assert "TID251" in ruff_findings(house, path)


def test_the_clock_itself_may_read_it(tmp_path):
    house = copy_house(tmp_path)
    assert "TID251" not in ruff_findings(house, house / "featurestore" / "foundation" / "clock.py")


def test_an_untouched_copy_keeps_every_contract(tmp_path):
    verdicts, output = contract_verdicts(copy_house(tmp_path))
    assert set(verdicts.values()) == {"KEPT"}, output
