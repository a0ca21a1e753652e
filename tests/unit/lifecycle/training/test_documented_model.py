"""The example of docs/training-models.md is Python that trains, and the page names every metric."""

import re
from pathlib import Path

from lifecycle.training.model import METRICS, Model
from lifecycle.training.training_table import TrainingTable
from tests.unit.lifecycle.training.conftest import numbers, training_set

PAGE = (Path(__file__).parents[4] / "docs" / "training-models.md").read_text()


def test_the_example_defines_a_model_whose_function_trains():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    model = names["returns"]
    assert isinstance(model, Model)
    table = TrainingTable.of(training_set(service=numbers), "test")
    estimator = model.train(table.data(~table.target.nulls, model.parameters))
    assert estimator.n_features_in_ == 2


def test_the_page_names_every_metric():
    assert [name for names in METRICS.values() for name in names if f"`{name}`" not in PAGE] == []
