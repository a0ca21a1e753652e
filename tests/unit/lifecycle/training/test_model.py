"""A model's definition: what is taken, and what is refused with a mend."""

from typing import Any

import pytest

from lifecycle.errors import ModelDefinitionError
from lifecycle.training import Model, Threshold
from tests.unit.lifecycle.training.conftest import comes, mixed


def made(**changes):
    given = {"service": "mixed", "label": "comes", "train": lambda data: None, "owner": "me@example.org"}
    return Model(changes.pop("name", "model"), **{**given, **changes})


def test_a_fifth_is_held_out_unless_said_otherwise():
    assert made().holdout_fraction == 0.2
    assert made(holdout_from="2024-01-01T00:00:00Z").holdout_fraction is None
    assert made(holdout_from="2024-01-01T00:00:00Z").holdout_from_us == 1_704_067_200_000_000


def test_service_and_label_are_objects_or_names():
    by_object = made(service=mixed, label=comes)
    assert (by_object.service_name, by_object.label_name) == ("mixed", "comes")
    assert (made().service_name, made().label_name) == ("mixed", "comes")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name with a capital": ({"name": "Model"}, "cannot name a model"),
    "a name with a space": ({"name": "my model"}, "cannot name a model"),
    "a name that is no text": ({"name": 3}, "cannot name a model"),
    "no owner": ({"owner": " "}, "no owner"),
    "an owner that is no text": ({"owner": None}, "no owner"),
    "a service that is none": ({"service": 3}, "service is 3"),
    "an empty service": ({"service": ""}, "service is ''"),
    "a label that is a service": ({"label": mixed}, "label is"),
    "train called": ({"train": 3}, "train is 3"),
    "parameters as a list": ({"parameters": [1]}, "parameters are [1]"),
    "parameters that are not plain": ({"parameters": {"a": {1, 2}}}, "not plain data"),
    "a parameter that is not finite": ({"parameters": {"a": float("nan")}}, "not plain data"),
    "a hold-out of all": ({"holdout_fraction": 1.0}, "holdout_fraction is 1.0"),
    "a hold-out in per cent": ({"holdout_fraction": 20}, "holdout_fraction is 20"),
    "a hold-out in words": ({"holdout_fraction": "20%"}, "holdout_fraction is '20%'"),
    "two hold-outs": ({"holdout_fraction": 0.2, "holdout_from": "2024-01-01T00:00:00Z"}, "both"),
    "a hold-out without zone": ({"holdout_from": "2024-01-01T00:00:00"}, "no time zone"),
    "a hold-out that is no instant": ({"holdout_from": "tomorrow"}, "is not an instant"),
    "a hold-out that is no text": ({"holdout_from": 5}, "holdout_from is 5"),
    "thresholds as a dict": ({"thresholds": {"roc_auc": 0.7}}, "thresholds are"),
    "a threshold as a tuple": ({"thresholds": [("roc_auc", 0.7)]}, "is none"),
    "a threshold on an unknown metric": (
        {"thresholds": [Threshold("auc", at_least=0.7)]},
        "'auc', which is not measured",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_hold_together_is_refused(name):
    changes, what = WRONG[name]
    with pytest.raises(ModelDefinitionError) as caught:
        made(**changes)
    assert what in caught.value.what
    assert caught.value.where
    assert caught.value.mend


def test_an_unknown_metric_suggests_the_nearest():
    with pytest.raises(ModelDefinitionError, match="did you mean 'accuracy'"):
        made(thresholds=[Threshold("acuracy", at_least=0.7)])
