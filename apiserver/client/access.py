"""How to reach a cluster and as whom: servers, trust, and one identity. Secrets never show in a repr.

Certificates and tokens that came as files are read again when the files change, so that a rotation needs no restart.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

LOOK_AGAIN_S = 10.0
_FILE_BYTES_MAX = 1 << 20


class Material(msgspec.Struct, frozen=True):
    """Bytes given as they are, or the file they are in."""

    data: bytes = b""
    file: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.data) or self.file is not None

    def __repr__(self) -> str:
        return f"Material(file={str(self.file)!r})" if self.file else f"Material({len(self.data)} bytes)"

    def read(self) -> bytes:
        """Raises OSError."""
        if self.file is None:
            return self.data
        with self.file.open("rb") as file:
            return file.read(_FILE_BYTES_MAX)

    def stamp(self) -> object:
        """Differs once the file is another one."""
        if self.file is None:
            return None
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


NOTHING = Material()


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """`namespace` is where objects are when nobody says. Without `authority` the machine's own are trusted."""

    servers: tuple[str, ...]
    namespace: str = "default"
    authority: Material = NOTHING
    certificate: Material = NOTHING
    key: Material = NOTHING
    token: Material = NOTHING
    server_name: str = ""  # in certificates, when it is not the address
    insecure: bool = False  # takes any certificate
    as_user: str = ""
    as_groups: tuple[str, ...] = ()


class Credentials:
    """What an Access comes to on the wire, now. `clock` is monotonic. Reads small local files; else no I/O."""

    def __init__(self, access: Access, *, clock: Callable[[], float]) -> None:
        self.access = access
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._token = ""
        self._stamp: object = None
        self._looked = float("-inf")

    def tls(self) -> ssl.SSLContext:
        """A context; another one after the files have changed. Raises ValueError naming the material that is bad."""
        self._look()
        assert self._context is not None
        return self._context

    def headers(self) -> list[tuple[str, str]]:
        self._look()
        found = [("Authorization", f"Bearer {self._token}")] if self._token else []
        if self.access.as_user:
            found.append(("Impersonate-User", self.access.as_user))
        return found + [("Impersonate-Group", group) for group in self.access.as_groups]

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_AGAIN_S:
            return
        access = self.access
        stamp = [each.stamp() for each in (access.authority, access.certificate, access.key, access.token)]
        if self._context is None or stamp != self._stamp:
            token = _read(access.token, "token").decode("utf-8", "replace").strip()
            if not token.isprintable() or " " in token:
                raise ValueError("the token holds characters that no token has")
            self._context = tls_context(access)
            self._token = token
            self._stamp = stamp
        self._looked = now


def tls_context(access: Access) -> ssl.SSLContext:
    """Raises ValueError."""
    authority = _read(access.authority, "certificate authority").decode("utf-8", "replace")
    try:
        context = ssl.create_default_context(cadata=authority or None)
    except ssl.SSLError as error:
        raise ValueError(f"the certificate authority cannot be used: {error.reason or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if bool(access.certificate) != bool(access.key):
        raise ValueError("a client certificate and its key go together; one of them is missing")
    if access.certificate:
        certificate, key = _read(access.certificate, "client certificate"), _read(access.key, "client key")
        try:
            with _as_file(certificate) as certificate_path, _as_file(key) as key_path:
                context.load_cert_chain(certificate_path, key_path, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(f"the client certificate and key cannot be used: {error}") from error
    return context


def _no_password() -> str:
    raise ValueError("the key asks for a password")


def _read(material: Material, what: str) -> bytes:
    try:
        return material.read()
    except OSError as error:
        raise ValueError(f"the {what} in {material.file} cannot be read: {error.strerror}") from error


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path that OpenSSL can read, in memory: keys are never written to a disk."""
    number = os.memfd_create("material", os.MFD_CLOEXEC)
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
