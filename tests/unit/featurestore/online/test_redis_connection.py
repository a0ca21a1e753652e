"""Against sockets that say what a test wants; real servers are spoken to in tests/contract/online."""

import socket
from contextlib import closing, contextmanager
from itertools import pairwise
from threading import Thread

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.redis_address import RedisAddress
from featurestore.online.redis_connection import RedisConnection, packed, parted


@contextmanager
def saying(*answers, greeted=True):
    """Serve one connection: greet it as Redis does, then say each answer at once; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            client, _ = server.accept()
            with client:
                if greeted:
                    client.recv(65536)
                    client.sendall(b"+OK\r\n+PONG\r\n")
                for answer in answers:
                    client.recv(65536)
                    client.sendall(answer)
                client.recv(65536)

        thread = Thread(target=serve)
        thread.start()
        yield RedisAddress(port=server.getsockname()[1], socket_timeout=0.2)
        thread.join(10)


def test_answers_come_in_their_order_and_errors_are_answers():
    with saying(b":1\r\n-ERR no\r\n$3\r\nabc\r\n") as address, closing(RedisConnection(address)) as connection:
        one, error, text = connection.ask([packed(b"A")] * 3)
    assert (one, text) == (1, b"abc")
    assert isinstance(error, hiredis.ReplyError)


def test_an_answer_that_does_not_end_is_given_up_in_time():
    late = pytest.raises(OnlineStoreUnavailable, match=r"did not answer within 0.2 s")
    with saying(b":1\r\n-ERR no\r\n$3\r\n") as address, closing(RedisConnection(address)) as connection, late:
        connection.ask([packed(b"A")] * 3)


def test_a_discarded_transaction_answers_every_command_with_its_reason():
    told = b"+OK\r\n-LOADING wait\r\n-LOADING wait\r\n-EXECABORT discarded\r\n"
    with saying(told) as address, closing(RedisConnection(address)) as connection:
        answers = connection.ask_together([packed(b"A"), packed(b"B")])
    assert [str(answer) for answer in answers] == ["LOADING wait"] * 2


def test_a_transaction_answers_with_what_its_commands_say():
    told = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:5\r\n-ERR no\r\n"
    with saying(told) as address, closing(RedisConnection(address)) as connection:
        five, error = connection.ask_together([packed(b"A"), packed(b"B")])
    assert five == 5
    assert str(error) == "ERR no"


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-NOAUTH log in first\r\n+PONG\r\n"])
def test_what_is_no_redis_or_refuses_the_greeting_is_named(greeting):
    with saying(greeting, greeted=False) as address, pytest.raises(OnlineStoreUnavailable, match=r"127\.0\.0\.1"):
        RedisConnection(address)


def test_a_connection_that_ends_is_said_to_be_lost():
    lost = pytest.raises(OnlineStoreUnavailable, match="lost: the server closed it")
    with saying() as address, closing(RedisConnection(address)) as connection, lost:
        connection.ask([packed(b"A")])


@given(st.lists(st.integers(1, 30)), st.integers(1, 40))
def test_parts_keep_the_order_and_the_bound(lengths, part_bytes):
    commands = [bytes([i % 256]) * length for i, length in enumerate(lengths)]
    parts = parted(commands, part_bytes)
    assert [command for part in parts for command in part] == commands
    assert all(len(part) == 1 or sum(map(len, part)) <= part_bytes for part in parts)
    assert all(sum(map(len, left)) + len(right[0]) > part_bytes for left, right in pairwise(parts))
