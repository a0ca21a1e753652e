"""What is shown: every value whole, markup in data harmless."""

import json
import math

from unskew.project import screen


def test_a_table_shows_every_value_and_reads_no_markup_in_it(capsys):
    screen.table("", ("name", "n", "x", "flag"), [("[bold]kept[/]", 1234567, 0.123456, True), (None, 2, 3.0, False)])
    out = capsys.readouterr().out
    for shown in ("[bold]kept[/]", "1,234,567", "0.1235", "yes", "no"):
        assert shown in out


def test_long_values_stay_on_one_line_where_nobody_watches(capsys):
    screen.table("", ("digest", "other"), [("d" * 64, "e" * 64)])
    assert f"{'d' * 64}  {'e' * 64}" in capsys.readouterr().out


def test_an_object_is_one_line(capsys):
    screen.emit({"a": [1, None, "ü"], "b": {"c": 0.1}})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": [1, None, "ü"], "b": {"c": 0.1}}


def test_what_json_cannot_hold_is_a_bug_not_a_wrong_object():
    import pytest

    with pytest.raises(ValueError, match="JSON"):
        screen.emit({"a": math.nan})
