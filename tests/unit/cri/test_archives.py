"""Archives of images are read: ours, OCI's, docker's; and what is none is refused in one sentence."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmini.images import PAUSE, pause_archive

from nodeagent.runtime.archives import Archive, ArchivedImage, BadArchive, full_name


def packed(files: dict[str, bytes], links: dict[str, str] | None = None) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    buffer.seek(0)
    return buffer


def docker_save(**more: Any) -> dict[str, bytes]:
    image = {"Config": "c.json", "RepoTags": ["web:1", "registry.test/web"], "Layers": ["a/layer.tar", "b/layer.tar"]}
    return {
        "manifest.json": json.dumps([image | more]).encode(),
        "c.json": b"{}",
        "a/layer.tar": b"plain",
        "b/layer.tar": gzip.compress(b"packed"),
    }


def check_complete(archive: Archive, image: ArchivedImage) -> None:
    """What is pointed to comes before what points to it, and every blob is what its digest says."""
    stored: set[str] = set()
    for blob in image.blobs:
        content = b"".join(archive.chunks(blob))
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob.digest
        assert len(content) == blob.size
        assert set(blob.labels.values()) <= stored
        assert all(label.startswith("containerd.io/gc.ref.content") for label in blob.labels)
        stored.add(blob.digest)
    assert image.target.digest == image.blobs[-1].digest


@pytest.mark.parametrize("compress", [False, True])
def test_ours(compress: bool) -> None:
    content = gzip.compress(pause_archive()) if compress else pause_archive()
    archive = Archive(io.BytesIO(content))
    (image,) = archive.images()
    assert image.name == PAUSE
    check_complete(archive, image)
    assert len(image.blobs) == 7, "two machines' config, layer and manifest, and the index"


def test_one_without_the_variants_for_other_machines() -> None:
    with tarfile.open(fileobj=io.BytesIO(pause_archive())) as whole:
        files = {each.name: file.read() for each in whole if each.isfile() and (file := whole.extractfile(each))}
    top = json.loads(files["index.json"])["manifests"][0]["digest"]
    index = json.loads(files[f"blobs/{top.replace(':', '/')}"])
    del files[f"blobs/{index['manifests'][0]['digest'].replace(':', '/')}"]
    archive = Archive(packed(files))
    (image,) = archive.images()
    check_complete(archive, image)
    assert len(image.blobs) == 4


def test_what_docker_saves() -> None:
    archive = Archive(packed(docker_save()))
    images = archive.images()
    assert [each.name for each in images] == ["docker.io/library/web:1", "registry.test/web:latest"]
    for image in images:
        check_complete(archive, image)
    manifest = json.loads(images[0].blobs[-1].content)
    assert [each["mediaType"].rpartition(".")[2] for each in manifest["layers"]] == ["tar", "tar+gzip"]


def test_what_docker_saves_has_links() -> None:
    files = docker_save()
    del files["b/layer.tar"]
    archive = Archive(packed(files, {"b/layer.tar": "../a/layer.tar"}))
    check_complete(archive, archive.images()[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no tar archive"),
        (b"no archive at all" * 100, "no tar archive"),
        (packed({}).getvalue(), "no image with a name"),
        (packed({"index.json": b"{"}).getvalue(), "index.json"),
        (packed({"index.json": b"[]"}).getvalue(), "index.json"),
        (packed({"index.json": b'{"manifests": {}}'}).getvalue(), "manifests is no list"),
        (packed({"index.json": b'{"manifests": [{}]}'}).getvalue(), "a descriptor"),
        (packed({"index.json": b" " * (5 << 20)}).getvalue(), "too large"),
        (packed({"manifest.json": b"{}"}).getvalue(), "manifest.json"),
        (packed(docker_save(Layers=["none"])).getvalue(), "none is missing"),
        (packed(docker_save(Layers=["../c.json"])).getvalue(), "../c.json is missing"),
        (packed(docker_save(RepoTags=[])).getvalue(), "no image with a name"),
        (packed(docker_save(RepoTags=None)).getvalue(), "no image with a name"),
        (packed(docker_save(), {"a": "b", "b": "a"}).getvalue()[:2048], "missing|cannot|no tar|end of"),
    ],
    ids=range(14),
)
def test_what_is_no_archive_of_images_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(BadArchive, match=words):
        Archive(io.BytesIO(content)).images()


def test_an_index_that_points_to_itself_is_refused() -> None:
    index = "application/vnd.oci.image.index.v1+json"

    def pointing(number: int) -> bytes:
        return json.dumps({"manifests": [{"mediaType": index, "digest": f"sha256:{number}", "size": 1}]}).encode()

    top = {"mediaType": index, "digest": "sha256:0", "size": 1, "annotations": {"io.containerd.image.name": "a/b:1"}}
    files = {f"blobs/sha256/{number}": pointing(number + 1) for number in range(10)}
    with pytest.raises(BadArchive, match="points to itself"):
        Archive(packed({"index.json": json.dumps({"manifests": [top]}).encode(), **files})).images()


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("web", "docker.io/library/web:latest"),
        ("web:1", "docker.io/library/web:1"),
        ("me/web", "docker.io/me/web:latest"),
        ("localhost/web", "localhost/web:latest"),
        ("registry:5000/web", "registry:5000/web:latest"),
        ("registry.test/a/web:2", "registry.test/a/web:2"),
        ("web@sha256:0", "docker.io/library/web@sha256:0"),
    ],
)
def test_full_names(name: str, full: str) -> None:
    assert full_name(name) == full


GOOD = [pause_archive(), packed(docker_save()).getvalue(), gzip.compress(pause_archive(), mtime=0)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content) - 1))
        content[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        content = content or bytearray(b"-")
    return bytes(content[: draw(st.integers(1, len(content)))] if draw(st.booleans()) else content)


@given(damaged())
def test_damage_is_told_in_one_sentence_or_found_by_who_checks_digests(content: bytes) -> None:
    words = ""
    try:
        archive = Archive(io.BytesIO(content))
        for image in archive.images():
            for blob in image.blobs:
                assert all(archive.chunks(blob))
    except BadArchive as error:
        words = str(error)
    assert "\n" not in words
