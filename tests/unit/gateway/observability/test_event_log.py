import json
import logging
import sys

import pytest

from gateway.observability.event_log import JsonLines, log_events


def record(message, *args, exc_info=None):
    return logging.LogRecord("gateway.x", logging.WARNING, __file__, 1, message, args, exc_info)


def test_a_record_is_one_line_of_json():
    line = JsonLines().format(record('model %s:\n"%d"', "ä", 7))
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "gateway.x", 'model ä:\n"7"')
    assert entry["time"].endswith("Z")


def test_an_error_keeps_its_traceback():
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError:
        entry = json.loads(JsonLines().format(record("failed", exc_info=sys.exc_info())))
    assert "ZeroDivisionError: by nought" in entry["traceback"]


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers, root.level = handlers, level


def test_all_events_go_to_standard_error(capsys, root_logger):
    log_events()
    logging.getLogger("anybody").info("hello")
    logging.getLogger("anybody").debug("not this")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["hello"]
