import json

import pytest

from gateway.registry.route import Route, Variant, route_from_description

ROUTE = Route("spend", 4, (Variant("champion", 1, 9), Variant("challenger", 2, 1)), "spend", ((0, 14_746), (1, 1_638)))


def test_a_route_survives_the_trip_through_plain_data():
    assert route_from_description(json.loads(json.dumps(ROUTE.describe()))) == ROUTE


def test_variants_are_found_by_role():
    assert ROUTE.champion.version == 1
    assert ROUTE.challenger == ROUTE.variant("challenger") == Variant("challenger", 2, 1)
    alone = Route("spend", 1, (Variant("champion", 1, 1),), "spend", ((0, 16_384),))
    assert alone.challenger is None


def test_shares_count_slots():
    assert ROUTE.shares() == pytest.approx({"champion": 0.9, "challenger": 0.1}, abs=1e-4)


def test_the_etag_is_strong():
    other = route_from_description(ROUTE.describe() | {"revision": 5})
    assert ROUTE.etag == route_from_description(ROUTE.describe()).etag
    assert ROUTE.etag != other.etag
