from pathlib import Path

import pytest

from featurestore.catalog import Catalog, catalog_of
from featurestore.catalog.catalog import described_digest
from featurestore.definitions import Count, Entity, FeatureService, FeatureView
from featurestore.foundation.canonical import canonical_bytes
from featurestore.foundation.errors import CatalogError
from tests.unit.featurestore.catalog.project import changed, load
from tests.unit.featurestore.definitions.retail import assert_refused, baskets, household, spending


def test_holds_what_is_merely_referred_to() -> None:
    found = catalog_of([FeatureService("inputs", [spending])])
    assert [part.label for part in found] == [
        "Entity household",
        "EventSource baskets",
        "FeatureView household_spending",
        "FeatureService inputs",
    ]
    assert found.view("household_spending") is spending


def test_the_key_columns_of_a_source_are_those_of_its_views() -> None:
    found = catalog_of([spending])
    assert found.view_keys(spending.source.name) == {spending.key}
    assert not found.view_keys("another")


@pytest.mark.parametrize(
    ("kind", "name", "mend"),
    [
        ("entity", "houshold", "did you mean 'household'?"),
        ("source", "basket", "did you mean 'baskets'?"),
        ("view", "x", "known are household_spending"),
        ("service", "x", "there is none"),
        ("label", "x", "there is none"),
    ],
)
def test_unknown_names_show_the_nearest(kind: str, name: str, mend: str) -> None:
    assert_refused(lambda: getattr(catalog_of([spending]), kind)(name), "", f"{name!r}", mend)


def test_two_different_definitions_of_one_name_are_refused() -> None:
    twin = FeatureView("household_spending", household, baskets, [Count(over="1d")])
    with pytest.raises(
        CatalogError, match="two different definitions are called FeatureView household_spending"
    ) as caught:
        catalog_of([spending, twin])
    assert str(caught.value).count("retail.py:") == 1
    assert str(caught.value).count("test_catalog.py:") == 2


def test_the_same_definition_twice_is_one() -> None:
    assert list(catalog_of([household, Entity("household", "household_id")])) == [household]


def test_one_name_may_serve_two_kinds(tmp_path: Path) -> None:
    found = load(tmp_path, changed(('"spending"', '"baskets"')))
    assert found.view("baskets").source is found.source("baskets")


def test_description_refers_by_name_and_is_canonical(tmp_path: Path) -> None:
    described = load(tmp_path).describe()
    view = described["views"]["spending"]
    assert view["definition"]["entity"] == "household"
    assert view["definition"]["source"] == "baskets"
    assert view["about"] == {"owner": "ann"}
    assert described["services"]["inputs"]["definition"]["outputs"][1]["from"] == {"request_feature": "basket_ratio"}
    assert described["labels"]["spend_next_7d"]["definition"]["of"] == "spending"
    assert canonical_bytes(described)


def test_the_digest_is_of_the_meaning(tmp_path: Path) -> None:
    base = load(tmp_path / "one")
    assert base.digest == load(tmp_path / "two" / "elsewhere").digest
    assert base.digest == load(tmp_path / "three", changed(("ann", "ben"), ("data/baskets/", "d/"))).digest
    assert base.digest != load(tmp_path / "four", changed(("quantity > 0", "quantity > 1"))).digest
    assert base.digest == described_digest(base.describe())
    assert Catalog().digest != base.digest
