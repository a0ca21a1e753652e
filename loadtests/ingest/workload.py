"""The project that is loaded, purchases of users with ten features over an hour and a day, and the events to send."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from featurestore.foundation.clock import SystemClock, format_instant

SOURCE, VIEW, SERVICE = "purchases", "spending", "spending_inputs"
USERS = 10_000
BODY_EVENTS = 500

FEATURES_PY = '''"""What is loaded: ten features of a user over an hour and a day."""

from featurestore.definitions import (
    Count, Decimal, Delay, Entity, EventSource, FeatureService, FeatureView, Int64, Last, Max, Mean, Min, StdDev, Sum,
    Timestamp,
)

user = Entity("user", join_key="user_id", dtype=Int64)

purchases = EventSource(
    "purchases",
    schema={"event_id": Int64, "user_id": Int64, "at": Timestamp, "amount": Decimal(2), "shop_id": Int64},
    event_timestamp="at",
    event_id="event_id",
    available_at=Delay("0s"),
    path="data/purchases.parquet",
)

spending = FeatureView(
    "spending",
    entity=user,
    source=purchases,
    features=[
        Sum("amount", over="1h"), Sum("amount", over="1d"), Mean("amount", over="1d"), Count(over="1h"),
        Count(over="1d"), Min("amount", over="1d"), Max("amount", over="1d"), StdDev("amount", over="1d"),
        Last("amount"), Last("shop_id"),
    ],
)

spending_inputs = FeatureService("spending_inputs", [spending], missing="null")
'''


@dataclass(frozen=True)
class Body:
    """A request's body, NDJSON, and how many events it has."""

    content: bytes
    events: int


def write_project(folder: Path, online_url: str, *, clock: str = "system") -> None:
    """Write the project's two files."""
    folder.mkdir(parents=True)
    (folder / "features.py").write_text(FEATURES_PY)
    (folder / "models.py").write_text('"""No model: only events are sent."""\n')
    settings = (
        f'[project]\nname = "ingest"\n\n[online]\nurl = "{online_url}"\n\n[gateway]\nport = 0\n'
        f'body_limit_bytes = 16777216\n\n[clock]\nnow = "{clock}"\n'
    )
    (folder / "unskew.toml").write_text(settings)


def bodies(events: int, first_id: int, seed: int, per_body: int = BODY_EVENTS) -> list[Body]:
    """Return events that happen about now, each id once, users drawn evenly."""
    chance = np.random.default_rng(seed)
    now = format_instant(SystemClock().now_us() // 1_000_000 * 1_000_000)
    users, cents = chance.integers(0, USERS, events).tolist(), chance.integers(1, 20_000, events).tolist()
    shops = chance.integers(0, 200, events).tolist()
    rows = [
        {
            "event_id": first_id + at,
            "user_id": users[at],
            "at": f"{now[:-1]}.{at % 1_000_000:06d}Z",
            "amount": f"{cents[at] // 100}.{cents[at] % 100:02d}",
            "shop_id": shops[at],
        }
        for at in range(events)
    ]
    return [
        Body(
            b"\n".join(orjson.dumps(row) for row in rows[start : start + per_body]), len(rows[start : start + per_body])
        )
        for start in range(0, events, per_body)
    ]
