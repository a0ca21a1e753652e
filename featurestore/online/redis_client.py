"""A connection pool to the server of a Redis URL, for what writes and checks."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.retry import Retry

from featurestore.online.redis_address import RedisAddress


def redis_client(address: RedisAddress, retry: Retry) -> Redis:
    """Return a client; it connects at its first call."""
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": address.socket_timeout,
        "socket_connect_timeout": address.socket_connect_timeout,
        "retry": retry,
    }
    if address.unix_path is not None:
        return Redis(unix_socket_path=address.unix_path, **options)
    if address.tls:
        options |= {"ssl": True, "ssl_ca_certs": address.ssl_ca_certs}
    return Redis(host=address.host, port=address.port, **options)
