"""Logs on stderr, one line each: JSON for machines, or text for people.

A log call is a constant message plus fields: `log.info("snapshot taken", extra={"index": 5})`. Both forms
print the fields; JSON under their own names.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

#: What every record has; everything else on it came in by `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class _OneLine(logging.Formatter):
    def timestamp(self, record: logging.LogRecord) -> str:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"

    def trace(self, record: logging.LogRecord) -> str | None:
        if not record.exc_info or record.exc_info[0] is None:
            return None
        return self.formatException(record.exc_info)


class JsonFormatter(_OneLine):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in fields_of(record).items() if name not in line)
        trace = self.trace(record)
        if trace:
            line["exception"] = trace
        return json.dumps(line, default=str)


class TextFormatter(_OneLine):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in fields_of(record).items())
        head = f"{self.timestamp(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        trace = self.trace(record)
        return f"{head}\n{trace}" if trace else head


def set_up(log_format: str, *, debug: bool = False, quiet: bool = False) -> None:
    """Send all logs of this process to stderr. `log_format` is "json" or "text"; `quiet` only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
