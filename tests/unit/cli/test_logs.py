"""One line per record, with its fields."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from kmini.logs import JsonFormatter, TextFormatter


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "kmini.x", "levelname": "INFO", "msg": message, "created": 0.25, "msecs": 250}
    )
    vars(made).update(fields)
    return made


def test_json_has_the_fields_under_their_names() -> None:
    line = JsonFormatter().format(record("snapshot\ntaken", index=5, key=b"k"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "kmini.x",
        "message": "snapshot\ntaken",
        "index": 5,
        "key": "b'k'",
    }


def test_text_is_for_people() -> None:
    assert TextFormatter().format(record("snapshot taken", index=5)) == (
        "1970-01-01T00:00:00.250Z INFO    kmini.x: snapshot taken index=5"
    )


def test_a_field_cannot_hide_the_message() -> None:
    assert json.loads(JsonFormatter().format(record("true", level="x", logger="y")))["level"] == "info"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_error_brings_its_traceback(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info())
    line = formatter.format(made)
    assert "ValueError: odd" in line
    assert isinstance(formatter, TextFormatter) or "\n" not in line
