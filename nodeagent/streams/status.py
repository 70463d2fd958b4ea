"""How a command ended, as clients want to hear it: Kubernetes' Status, the only message of an error stream."""

from __future__ import annotations

from typing import Any

import msgspec

STATUS_BYTES_MAX = 64 * 1024


class _Status(msgspec.Struct):
    status: str = ""
    message: str = ""


def failure(message: str) -> bytes:
    """That we, not the command, failed."""
    text = f"Internal error occurred: {message}"
    document: dict[str, Any] = {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
    return msgspec.json.encode(document)


def as_text(status: bytes) -> bytes:
    """For clients older than version 4: nothing when all went well, else what did not."""
    try:
        found = msgspec.json.decode(status, type=_Status)
    except msgspec.DecodeError:
        return status
    return b"" if found.status == "Success" else (found.message or "the command failed").encode()
