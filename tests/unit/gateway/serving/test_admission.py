import pytest

from gateway.errors import NotReady, Overloaded
from gateway.serving.admission import Admission


def test_one_too_many_is_told_when_to_come_again():
    door = Admission(2)
    with door, door:
        with pytest.raises(Overloaded) as caught, door:
            pass
        assert door.in_flight == 2
    assert ("retry-after", "1") in caught.value.headers
    with door:
        assert door.in_flight == 1


def test_errors_inside_let_go_of_the_place():
    door = Admission(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), door:
            _ = 1 // 0
    assert door.in_flight == 0


def test_a_closed_door_lets_nobody_in():
    door = Admission(2)
    with door:
        door.close()
    with pytest.raises(NotReady, match="stopping"), door:
        pass
    assert (door.closed, door.in_flight) == (True, 0)
