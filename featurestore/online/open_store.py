"""Open the online store that a URL names: the one place that knows all of them."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from featurestore.online.base import OnlineStore
from featurestore.online.errors import OnlineUrlError
from featurestore.online.lmdb_store import LmdbStore
from featurestore.online.memory_store import MemoryStore

_FORMS = "use lmdb:/absolute/folder, redis://host:port/db, or memory://"
_memory: dict[str, MemoryStore] = {}
_memory_lock = Lock()


def open_store(url: str) -> OnlineStore:
    """Open the store of a URL.

    ``lmdb:/folder`` or ``lmdb:///folder`` (absolute), ``redis://``, ``rediss://`` or ``unix://``
    (`featurestore.online.redis_address`), ``memory://name`` (every opening of one name in a process is one store). The
    Redis driver is imported only for a Redis URL, and no connection is made before the first call.

    Raises
    ------
    OnlineUrlError
        If the URL names no store.
    OnlineStoreUnavailable
        If an LMDB folder cannot be opened.
    """
    scheme = url.partition(":")[0]
    if scheme == "lmdb":
        return LmdbStore(_lmdb_path(url))
    if scheme in ("redis", "rediss", "unix"):
        from featurestore.online.redis_store import RedisStore

        return RedisStore(url)
    if url.startswith("memory://"):
        with _memory_lock:
            return _memory.setdefault(url, MemoryStore(url))
    raise OnlineUrlError(f"no online store has the scheme {scheme!r}", where="setting online.url", mend=_FORMS)


def absolute_url(url: str, base: Path) -> str:
    """Return the URL with the path of an ``lmdb:`` one made absolute against ``base``; any other unchanged."""
    if not url.startswith("lmdb:"):
        return url
    return f"lmdb:{base.absolute() / _folder(url)}"


def is_ephemeral(url: str) -> bool:
    """Tell whether what a process writes to the store is gone when it ends."""
    return url.startswith("memory:")


def _lmdb_path(url: str) -> Path:
    path = Path(_folder(url))
    if not path.is_absolute():
        raise OnlineUrlError(
            f"the path of {url!r} is relative", where="setting online.url", mend="write lmdb:/absolute/folder"
        )
    return path


def _folder(url: str) -> str:
    folder = url.removeprefix("lmdb:")
    if folder.startswith("//"):
        folder = "/" + folder.lstrip("/") if folder.startswith("///") else folder
    if not folder.strip("/") or (folder.startswith("//") and not folder.startswith("///")):
        raise OnlineUrlError(f"{url!r} names no folder", where="setting online.url", mend=_FORMS)
    return folder
