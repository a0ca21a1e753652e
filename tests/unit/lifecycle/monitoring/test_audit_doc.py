"""docs/audit.md lists every cause, reason and option, and the numbers in it are those of the code."""

import re
from pathlib import Path

from lifecycle.monitoring.audit_report import EXAMPLES_PER_CAUSE, AuditReport
from lifecycle.monitoring.diagnosis import EXAMINED_PER_FEATURE
from lifecycle.monitoring.skew_cause import Cause
from unskew.cli.audit import _REASONS

PAGE = (Path(__file__).parents[4] / "docs" / "audit.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())


def rows():
    return re.findall(r"^\| `([a-z][a-z-]*)` \|", PAGE, re.MULTILINE)


def test_every_cause_is_listed_in_the_order_it_is_looked_for():
    listed = [name for name in rows() if name in list(Cause)]
    assert listed == [cause for cause in Cause if cause is not Cause.UNEXAMINED]
    assert f"`{Cause.UNEXAMINED}`" in FLAT


def test_every_reason_is_listed():
    assert {name for name in rows() if name not in list(Cause)} == set(_REASONS)
    documented = AuditReport.__doc__ or ""
    assert [reason for reason in _REASONS if f"``{reason}``" not in documented] == []


def test_the_numbers_are_those_of_the_code():
    assert EXAMPLES_PER_CAUSE == 3
    assert "up to three of each feature and cause" in FLAT
    assert f"up to {EXAMINED_PER_FEATURE} of each feature" in FLAT
