"""A file of tokens for tests, rescue and small set-ups: lines of `token,user,uid,"group1,group2"`, as Kubernetes reads.

Tokens are held as digests and looked up by digest, so neither memory nor timing gives one away. The file is read once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import stat
from collections.abc import Mapping
from pathlib import Path

from .keyring import PkiError
from .user import GROUP_AUTHENTICATED, User

FILE_BYTES_MAX = 1 << 20


class StaticTokens:
    def __init__(self, users: Mapping[bytes, User], warnings: tuple[str, ...] = ()) -> None:
        """`users` by SHA-256 of the token. `warnings` are for the log of the start."""
        self._users = users
        self.warnings = warnings

    def user(self, token: str) -> User | None:
        return self._users.get(_digest(token))

    def __len__(self) -> int:
        return len(self._users)

    def __repr__(self) -> str:
        return f"StaticTokens({len(self)} tokens)"


def load(path: Path) -> StaticTokens:
    """Raises PkiError naming file and line, never a token."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        text = raw.decode()
    except (OSError, ValueError) as error:
        raise PkiError(f"{path} is no token file: {error}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise PkiError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    warnings = []
    if stat.S_IMODE(mode) & 0o077:
        warnings.append(f"{path} can be read by others than its owner: chmod 600 it")
    return StaticTokens(_parse(text, path), tuple(warnings))


def _parse(text: str, path: Path) -> dict[bytes, User]:
    users: dict[bytes, User] = {}
    rows = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    try:
        for row in rows:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if len(row) < 3:
                raise PkiError(f"{path} line {rows.line_num}: needs at least token, user name and uid, has {len(row)}")
            token, name, uid = (field.strip() for field in row[:3])
            if not token or not name:
                raise PkiError(f"{path} line {rows.line_num}: token and user name must not be empty")
            if _digest(token) in users:
                raise PkiError(f"{path} line {rows.line_num}: its token is there twice")
            groups = [group.strip() for group in row[3].split(",")] if len(row) > 3 else []
            names = dict.fromkeys([*(group for group in groups if group), GROUP_AUTHENTICATED])
            users[_digest(token)] = User(name=name, uid=uid, groups=tuple(names))
    except csv.Error as error:
        raise PkiError(f"{path} line {rows.line_num}: {error}") from error
    return users


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
