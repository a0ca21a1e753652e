import pytest

from featurestore.online.index_value import NEVER, index_payload, index_value, is_expired


def test_an_entry_is_its_expiry_and_then_its_payload():
    value = index_value(b"payload", 0x0102030405060708)
    assert value == bytes([8, 7, 6, 5, 4, 3, 2, 1]) + b"payload"
    assert index_payload(value) == b"payload"


@pytest.mark.parametrize(("expires_us", "now_us", "expired"), [(10, 9, False), (10, 10, True), (NEVER, 2**62, False)])
def test_an_entry_is_absent_from_its_expiry_on(expires_us, now_us, expired):
    assert is_expired(index_value(b"", expires_us), now_us) is expired
