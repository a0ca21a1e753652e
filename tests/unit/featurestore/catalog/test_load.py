import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featurestore.catalog import load_definitions
from featurestore.foundation.errors import CatalogError, DefinitionError, UnskewError
from featurestore.semantics.value import Float64, column
from tests.unit.featurestore.catalog.project import FEATURES, changed, load


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def test_loads_all_kinds_and_runs_their_functions(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert set(found.entities) == {"household"}
    assert set(found.sources) == {"baskets"}
    assert set(found.views) == {"spending"}
    assert set(found.request_features) == {"basket_ratio"}
    assert set(found.services) == {"inputs"}
    assert set(found.labels) == {"spend_next_7d"}
    columns = {"basket_value": column(Float64, [6.0]), "spending.net_mean_30d": column(Float64, [2.0])}
    assert found.request_features["basket_ratio"].evaluate(columns, 1).to_pylist() == [3.0]


def test_finds_definitions_in_lists_and_dicts(tmp_path: Path) -> None:
    text = changed(("spending = FeatureView(", "views = [FeatureView("), ('owner="ann",\n)', 'owner="ann",\n)]'))
    text = text.replace("spending[", "views[0][").replace('Sum("net"), spending', 'Sum("net"), views[0]')
    assert set(load(tmp_path, text + "\nmore = {'store': Entity('store', 'store_id')}\n").entities) == {
        "household",
        "store",
    }


@pytest.mark.parametrize(
    ("change", "needle", "what", "mend"),
    [
        ((('Sum("net", over', 'Sum("nett", over'),), "spending = FeatureView(", "unknown column 'nett'", "'net'"),
        ((("join_key=", "joinkey="),), "Entity(", "unexpected keyword argument 'joinkey'", "did you mean 'join_key'?"),
        ((("over=\"7d\", lateness", "ovr=\"7d\", lateness"),), "Label(\"", "argument 'ovr'", "did you mean 'over'?"),
        ((("    where=", "    wher="),), "spending = FeatureView(", "argument 'wher'", "did you mean 'where'?"),
        ((("basket_value / net", "basket_valu / net"),), "@request_feature", "'basket_valu', which is not defined", ""),
        ((("inputs = FeatureService", "inputs = FeatureServce"),), "FeatureServce(", "NameError", "'FeatureService'?"),
        ((("spending[\"net_sum", "spending[\"ne_sum"),), "inputs = ", "no feature is called", "'net_sum_30d'"),
        ((("import numpy as np", "import numpyy as np"),), "import numpyy", "No module named 'numpyy'", "install"),
        ((("Count, Decimal", "Counts, Decimal"),), "from featurestore", "cannot import name 'Counts'", "'Count'?"),
        ((("household = Entity(", "household = = Entity("),), "household = =", "Python cannot read it", "syntax"),
        ((("inputs = ", "raise SystemExit(3)\ninputs = "),), "raise SystemExit", "SystemExit: 3", ""),
        ((("Delay(\"0s\")", "Delay(\"soon\")"),), "available_at=Delay", "'soon' is not a duration", "30d"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_mend(
    tmp_path: Path, change: tuple[tuple[str, str], ...], needle: str, what: str, mend: str
) -> None:
    text = changed(*change)
    with pytest.raises(UnskewError) as caught:
        load(tmp_path, text)
    assert f"{tmp_path / 'features.py'}:{line_of(text, needle)}" in (caught.value.where or "")
    assert what in caught.value.what
    assert mend in (caught.value.mend or "")


def test_errors_in_a_module_beside_name_that_module(tmp_path: Path) -> None:
    (tmp_path / "keys.py").write_text(
        "from featurestore.definitions import Entity\n\nstore = Entity('Store', 'store_id')\n"
    )
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, "from keys import store\n" + FEATURES)
    assert caught.value.where == f"{tmp_path / 'keys.py'}:3: Entity"


@pytest.mark.parametrize("text", ["", "x = 1\n", "'''words'''\n"])
def test_a_file_that_defines_nothing_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogError, match="defines nothing"):
        load(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no file"):
        load_definitions(tmp_path / "features.py")
    with pytest.raises(CatalogError, match="cannot be read"):
        load_definitions(tmp_path)
    (tmp_path / "features.py").write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogError, match="cannot be read"):
        load_definitions(tmp_path / "features.py")


def test_projects_load_side_by_side(tmp_path: Path) -> None:
    text = FEATURES.replace("household = Entity(", "from keys import KEY\nhousehold = Entity(").replace(
        'join_key="household_id"', "join_key=KEY"
    )
    before_path, before_modules = list(sys.path), set(sys.modules)
    for name, key in (("one", "household_id"), ("two", "basket_id")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.py").write_text(f"KEY = {key!r}\n")
    assert load(tmp_path / "one", text).entity("household").join_key == "household_id"
    assert load(tmp_path / "two", text).entity("household").join_key == "basket_id"
    assert sys.path == before_path
    assert not {"keys", "features"} & (set(sys.modules) - before_modules)


def test_a_change_in_a_module_beside_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    text = FEATURES.replace("import numpy as np", "import numpy as np\nimport rates") + (
        "\n@request_feature(inputs=[Request('x', Float64)], dtype=Float64)\ndef scaled(x):\n    return x * rates.RATE\n"
    )
    digests, values = [], []
    for rate in (1.5, 2.5):
        (tmp_path / "rates.py").write_text(f"RATE = {rate}\n")
        found = load(tmp_path, text)
        digests.append(found.digest)
        values.append(found.request_features["scaled"](np.array([2.0])).tolist())
    assert digests[0] != digests[1]
    assert values == [[3.0], [5.0]]
    assert not (tmp_path / "__pycache__").exists()


def test_a_module_of_that_name_from_elsewhere_is_put_back(tmp_path: Path) -> None:
    import shlex

    (tmp_path / "shlex.py").write_text("KEY = 'household_id'\n")
    text = FEATURES.replace("household = Entity(", "import shlex\nhousehold = Entity(").replace(
        'join_key="household_id"', "join_key=shlex.KEY"
    )
    assert load(tmp_path, text).entity("household").join_key == "household_id"
    assert sys.modules["shlex"] is shlex


def test_the_digest_is_the_same_in_another_process_and_under_another_hash_seed(tmp_path: Path) -> None:
    text = FEATURES.replace(
        "    return basket_value / net_mean_30d", "    return basket_value / net_mean_30d * len(LEVELS)"
    ) + ("\nLEVELS = {'a', 'b', 'c', 'd'}\n")
    here = load(tmp_path, text).digest
    program = (
        "import sys, pathlib; from featurestore.catalog import load_definitions; "
        "print(load_definitions(pathlib.Path(sys.argv[1])).digest)"
    )
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "features.py")],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        )  # fmt: skip
        assert told.stdout.strip() == here


def test_loading_imports_no_engine() -> None:
    program = (
        "import sys, featurestore.catalog; "
        "print(sorted({'duckdb', 'pandas', 'pyarrow', 'redis', 'lmdb', 'sklearn'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )
    assert told.stdout.strip() == "[]"


def helper_project(tmp_path: Path, body: str) -> str:
    (tmp_path / "rates_edited.py").write_text(f"def apply(v):\n    return {body}\n")
    return FEATURES + (
        "\nimport rates_edited\n"
        "@request_feature(inputs=[Request('x', Float64)], dtype=Float64)\n"
        "def scaled(x):\n    return rates_edited.apply(x)\n"
    )


def test_an_edited_helper_has_the_digest_of_the_code_that_runs(tmp_path: Path) -> None:
    digests, values = [], []
    for body in ("v + 1.", "v + 200.", "v * 3."):
        found = load(tmp_path, helper_project(tmp_path, body))
        digests.append(found.digest)
        values.append(found.request_features["scaled"](np.array([2.0])).tolist())
    assert len(set(digests)) == 3
    assert values == [[3.0], [202.0], [6.0]]


def test_a_loaded_set_keeps_its_meaning_when_a_helper_is_edited(tmp_path: Path) -> None:
    found = load(tmp_path, helper_project(tmp_path, "v + 1."))
    before = found.request_features["scaled"].describe()
    (tmp_path / "rates_edited.py").write_text("def apply(v):\n    return v + 2.\n")
    assert found.request_features["scaled"].describe() == before


def test_a_set_whose_text_was_replaced_by_another_load_does_not_take_its_meaning(tmp_path: Path) -> None:
    found = load(tmp_path, helper_project(tmp_path, "v + 1."))
    load(tmp_path, helper_project(tmp_path, "v + 2."))
    with pytest.raises(DefinitionError, match="no longer the code that runs"):
        found.request_features["scaled"].describe()
