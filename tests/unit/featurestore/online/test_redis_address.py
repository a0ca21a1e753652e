import pytest

from featurestore.online.errors import OnlineUrlError
from featurestore.online.redis_address import RedisAddress, parse_redis_url


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("redis://localhost", RedisAddress("localhost"), "redis://localhost:6379/0"),
        ("redis://h:1/3", RedisAddress("h", 1, 3), "redis://h:1/3"),
        ("rediss://h/", RedisAddress("h", tls=True), "rediss://h:6379/0"),
        (
            "redis://:p%40ss@h?socket_timeout=0.5",
            RedisAddress("h", password="p@ss", socket_timeout=0.5),
            "redis://h:6379/0",
        ),
        ("redis://u:p@[::1]:7", RedisAddress("::1", 7, username="u", password="p"), "redis://[::1]:7/0"),
        ("unix:///run/r.sock?db=2", RedisAddress(unix_path="/run/r.sock", db=2), "unix:///run/r.sock?db=2"),
        ("rediss://h?ssl_ca_certs=/ca.pem", RedisAddress("h", tls=True, ssl_ca_certs="/ca.pem"), "rediss://h:6379/0"),
    ],
)
def test_a_url_is_read_and_named_without_its_password(url, address, name):
    assert parse_redis_url(url) == address
    assert address.name == name


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h:99999", "port"),
        ("redis://h:port", "port"),
        ("redis://", "names no host"),
        ("redis://h/one", "database 'one' is not a number"),
        ("redis://h/1/2", "database '1/2' is not a number"),
        ("redis://h?decode_responses=True", "option 'decode_responses', which is not known"),
        ("redis://h?socket_timeout=soon", "option 'socket_timeout' of the Redis URL is 'soon'"),
        ("redis://h/1?db=2", "option 'db'"),
        ("unix://", "names no socket"),
    ],
)
def test_a_mistyped_url_is_refused_with_a_mend_and_without_its_password(url, says):
    with pytest.raises(OnlineUrlError) as caught:
        parse_redis_url(url.replace("//h", "//u:secret@h"))
    assert says in str(caught.value)
    assert caught.value.mend
    assert "secret" not in str(caught.value)


def test_a_connection_begins_by_logging_in_and_choosing_the_database():
    assert parse_redis_url("redis://h/3").greeting == [("SELECT", "3"), ("PING",)]
    assert parse_redis_url("redis://:secret@h").greeting[0] == ("AUTH", "secret")
    assert parse_redis_url("redis://me:secret@h").greeting[0] == ("AUTH", "me", "secret")
