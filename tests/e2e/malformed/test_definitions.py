"""Definitions as a new user would mistype them: `unskew apply` and `unskew train` name thing, place and mend."""

import pytest

from tests.e2e.malformed import definition_cases as cases
from tests.e2e.malformed.definition_cases import HERE, Mistake
from tests.e2e.malformed.shop import BODY, HEAD, MODELS, MODELS_END, Shop
from tests.e2e.malformed.told import refused


def line_of(before: str, mistake: Mistake) -> int:
    """Return the line of a file, counted from 1, that a mistake stands on."""
    lines = mistake.text.splitlines()
    marked = [number for number, line in enumerate(lines) if HERE in line]
    return before.count("\n") + 1 + (marked[0] if marked else 0)


def named(mistake: Mistake) -> str:
    return mistake.name.replace(" ", "-")


@pytest.mark.parametrize("mistake", cases.FEATURES, ids=named)
def test_features(shop: Shop, mistake: Mistake) -> None:
    right = HEAD + BODY
    with shop.mistyped("features.py", right + mistake.text + "\n") as path:
        error = refused(shop, "apply", thing=mistake.thing, place=mistake.place, mend=mistake.mend)
    assert f"{path}:{line_of(right, mistake)}" in error["where"]


@pytest.mark.parametrize("mistake", cases.MODELS, ids=named)
def test_models(shop: Shop, mistake: Mistake) -> None:
    right = MODELS + MODELS_END
    with shop.mistyped("models.py", right + mistake.text + "\n") as path:
        error = refused(shop, "train", "spend", thing=mistake.thing, place=mistake.place, mend=mistake.mend)
    assert f"{path}:{line_of(right, mistake)}" in error["where"]


@pytest.mark.parametrize("mistake", cases.TRAINING, ids=named)
def test_training_functions(shop: Shop, mistake: Mistake) -> None:
    with shop.mistyped("models.py", f"{MODELS}{mistake.text}\n\n\n{MODELS_END}"):
        refused(shop, "train", "spend", thing=mistake.thing, place=mistake.place, mend=mistake.mend)
