from __future__ import annotations

import numpy as np

from featurestore.semantics.status import expired


def test_a_value_is_alive_up_to_and_at_its_ttl() -> None:
    latest = np.array([100, 100, 100])
    assert expired(np.array([109, 110, 111]), latest, 10).tolist() == [False, False, True]
    assert not expired(10**15, latest, None).any()
