from __future__ import annotations

from featurestore.foundation.errors import UnskewError


def test_an_error_shows_place_thing_and_mend() -> None:
    error = UnskewError("column 'nett' is unknown", where="FeatureView spending", mend="did you mean 'net'?")
    assert str(error) == "FeatureView spending: column 'nett' is unknown (did you mean 'net'?)"
    assert str(UnskewError("it broke")) == "it broke"
