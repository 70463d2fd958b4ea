"""A configuration as a log entry: `KIND_CONFIGURATION, format version, msgpack of Configuration`.

The journal reads these entries to know the members at every index of the log, also of its uncommitted
tail, and to fall back to the former ones when that tail is cut.
"""

from __future__ import annotations

import msgspec

from ..command import KIND_CONFIGURATION
from ..errors import IntegrityError, UnknownFormat
from .engine import Configuration

FORMAT_VERSION = 1

_PREFIX = bytes((KIND_CONFIGURATION, FORMAT_VERSION))
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Configuration)


def encode_configuration(configuration: Configuration) -> bytes:
    """The payload of the entry that makes `configuration` the present one."""
    return _PREFIX + _encoder.encode(configuration)


def is_configuration(payload: bytes) -> bool:
    return payload[0] == KIND_CONFIGURATION


def decode_configuration(payload: bytes) -> Configuration:
    """Raises UnknownFormat for another version's entry, IntegrityError for one that does not decode."""
    if len(payload) < 2 or payload[0] != KIND_CONFIGURATION:
        raise IntegrityError("not a configuration entry")
    if payload[1] != FORMAT_VERSION:
        raise UnknownFormat(
            f"configuration entry of format {payload[1]}, this version reads {FORMAT_VERSION}: "
            "upgrade this replica first"
        )
    try:
        return _decoder.decode(memoryview(payload)[2:])
    except msgspec.DecodeError as error:
        raise IntegrityError(f"configuration entry does not decode: {error}") from error
