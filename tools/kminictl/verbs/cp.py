"""`kminictl cp`: files to and from containers, through `tar` in the container.

What comes from a container is not trusted: names that lead out of the destination, links and devices are left out.
Archives pass through a temporary file, so that a large folder costs no memory.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import click
import msgspec

from ..command import Verb, switch, verb
from ..failures import CommandError

if TYPE_CHECKING:
    from ..cluster.session import Session

IN_MEMORY_BYTES = 8 << 20
CHUNK_BYTES = 32 << 10


class Place(msgspec.Struct, frozen=True):
    """`[NAMESPACE/]POD:PATH`, or a local path (`pod` empty)."""

    path: str
    pod: str = ""
    namespace: str = ""


def place(text: str) -> Place:
    """Raises CommandError."""
    pod, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")):
        return Place(text)
    if not path:
        raise CommandError("filepath can not be empty")
    namespace, slash, name = pod.rpartition("/")
    if "/" in namespace or not name:
        raise CommandError(f"{text} is no place in a pod: [NAMESPACE/]POD:PATH is needed")
    return Place(path, name, namespace if slash else "")


@click.command("cp", cls=Verb, missing="source and destination are required")
@click.argument("source")
@click.argument("destination")
@click.option("-c", "--container", default="", help="Container of the pod.")
@switch("--no-preserve", help="Without owners and modes.")
@click.option("--retries", default=0, hidden=True)
@verb
async def cp(session: Session, source: str, destination: str, container: str, no_preserve: bool, retries: int) -> None:
    """Copy files: cp FILE [NAMESPACE/]POD:FILE, or the other way round."""
    there, here = place(source), place(destination)
    if there.pod and here.pod:
        raise CommandError("one of src or dest must be a local file specification")
    if not there.pod and not here.pod:
        raise CommandError("one of src or dest must be a remote file specification")
    if here.pod:
        await _Remote(session, here, container).send(Path(there.path), no_preserve=no_preserve)
    else:
        await _Remote(session, there, container).fetch(Path(here.path))


class _Remote:
    """A place in a container."""

    def __init__(self, session: Session, where: Place, container: str) -> None:
        self._session = session
        self._where = where
        self._container = container
        if where.namespace:
            session.namespace = where.namespace

    async def _run(
        self, command: list[str], *, stdin: AsyncGenerator[bytes, None] | None = None, out: IO[bytes] | None = None
    ) -> tuple[int, bytes]:
        """The exit code and the last of stderr."""
        from ..cluster.commands import Streams, run
        from ..cluster.pods import container_of, pod_of

        pod = await pod_of(self._session, self._where.pod, verb="cp")
        container = container_of(self._session, pod, self._container)
        self._container = container
        said = bytearray()

        def keep(data: bytes) -> None:
            said.extend(data)
            del said[:-4096]

        def write(data: bytes) -> None:
            if out is not None:
                out.write(data)

        streams = Streams(stdin=stdin, stdout=write, stderr=keep)
        metadata = pod["metadata"]
        code = await run(self._session, metadata["name"], metadata["namespace"], container, command, streams)
        return code, bytes(said)

    async def send(self, local: Path, *, no_preserve: bool) -> None:
        if not await asyncio.to_thread(local.exists):
            raise CommandError(f"{local} doesn't exist in local filesystem")
        target = PurePosixPath(self._where.path)
        is_folder, _ = await self._run(["test", "-d", self._where.path])
        if is_folder == 0:
            target /= local.name
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as archive:
            await asyncio.to_thread(_pack, archive, local, target.name)
            options = ["--no-same-permissions", "--no-same-owner"] if no_preserve else []
            command = ["tar", *options, "-xmf", "-"]
            if str(target.parent) not in (".", ""):
                command += ["-C", str(target.parent)]
            code, said = await self._run(command, stdin=_content(archive))
        if code:
            raise CommandError(_told(said, code), code)

    async def fetch(self, local: Path) -> None:
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as archive:
            code, said = await self._run(["tar", "cf", "-", self._where.path], out=archive)
            if code:
                raise CommandError(_told(said, code), code)
            archive.seek(0)
            skipped = await asyncio.to_thread(unpack, archive, self._where.path, local)
        for each in skipped:
            self._session.warn(f"not copied: {each}")


def _told(said: bytes, code: int) -> str:
    text = said.decode("utf-8", "replace").strip()
    return f"{text}\ncommand terminated with exit code {code}".lstrip("\n")


def _pack(archive: IO[bytes], local: Path, name: str) -> None:
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(local, arcname=name)
    archive.seek(0)


async def _content(archive: IO[bytes]) -> AsyncGenerator[bytes, None]:
    while chunk := archive.read(CHUNK_BYTES):
        yield chunk


def unpack(archive: IO[bytes], remote: str, local: Path) -> list[str]:
    """Put what is below `remote` to `local`; a file into a folder that is there. What was left out, and why.

    Every part of a name is looked at: nothing is written through a link, and nothing outside of `local`."""
    prefix = PurePosixPath(remote.lstrip("/"))
    skipped = []
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            inside = _inside(PurePosixPath(member.name.lstrip("/")), prefix)
            if inside is None:
                skipped.append(f"{member.name}: it lies outside of {remote}")
            elif member.isdir():
                _folder(local, inside)
            elif member.isreg():
                _file(tar, member, local / prefix.name if not inside.parts and local.is_dir() else local, inside)
            else:
                skipped.append(f"{member.name}: it is no file and no folder")
    return skipped


def _inside(name: PurePosixPath, prefix: PurePosixPath) -> PurePosixPath | None:
    """The part of a name below the prefix; None for one that leads elsewhere."""
    parts = tuple(part for part in name.parts if part != ".")
    wanted = tuple(part for part in prefix.parts if part != ".")
    if ".." in parts or parts[: len(wanted)] != wanted:
        return None
    return PurePosixPath(*parts[len(wanted) :])


def _folder(local: Path, inside: PurePosixPath) -> Path:
    place_ = local
    place_.mkdir(parents=True, exist_ok=True)
    for part in inside.parts:
        place_ /= part
        if place_.is_symlink():
            raise CommandError(f"{place_} is a link: nothing is written through it")
        place_.mkdir(exist_ok=True)
    return place_


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, local: Path, inside: PurePosixPath) -> None:
    target = _folder(local, inside.parent) / inside.name if inside.parts else local
    if not inside.parts:
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        raise CommandError(f"{target} is a link: nothing is written through it")
    source = tar.extractfile(member)
    assert source is not None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(target, flags, member.mode & 0o777), "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            file.write(chunk)
