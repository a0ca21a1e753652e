import uuid

from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.prediction_id import prediction_id


@given(st.integers(0, 253_402_300_799_999_999))
def test_it_is_a_uuid_of_version_7_of_the_instant(instant_us):
    made = uuid.UUID(prediction_id(instant_us))
    assert str(made) == prediction_id(instant_us)[:19] + str(made)[19:]
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == instant_us // 1000
    fraction = (made.int >> 64) & 0xFFF
    assert abs(fraction * 1000 / 4096 - instant_us % 1000) <= 1


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=2, unique=True))
def test_ids_sort_by_instant(instants):
    early, late = sorted(instants)
    assert prediction_id(early)[:18] <= prediction_id(late)[:18]


def test_ids_of_one_instant_differ():
    assert len({prediction_id(0) for _ in range(10_000)}) == 10_000


def test_instants_before_1970_count_as_1970():
    assert prediction_id(-5)[:13] == "00000000-0000"
