"""Objects from files: several documents, YAML and JSON, Lists, what is read as text, and what is refused."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kminictl.cluster import manifests
from kminictl.cluster.manifests import documents, read
from kminictl.failures import CommandError

POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n"


def names(text: str) -> list[str]:
    return [each.name for each in documents(text.encode(), "f.yaml")]


def test_several_documents_and_lists() -> None:
    listed = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: c}}\n"
    assert names(POD.format(name="a") + "---\n---\n" + POD.format(name="b") + "---\n" + listed) == ["a", "b", "c"]


def test_json_one_after_the_other() -> None:
    pod = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "%s"}}'
    assert names(pod % "a" + "\n" + pod % "b" + "\n") == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01", "2026-01-01"),
        ("10:30", "10:30"),
        ("0644", 420),
        ("1e3", 1000.0),
        ("yes", True),
        ("~", None),
        ("'yes'", "yes"),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(written: str, value: Any) -> None:
    (found,) = documents(f"apiVersion: v1\nkind: A\nvalue: {written}\n".encode(), "f")
    assert found.object["value"] == value


def test_keys_become_text() -> None:
    (found,) = documents(b"apiVersion: v1\nkind: A\ndata: {80: a, true: b}\n", "f")
    assert found.object["data"] == {"80": "a", "true": "b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Pod\n", "apiVersion not set"),
        ("apiVersion: v1\n", "Object 'Kind' is missing"),
        ("- a\n", "a document is no mapping"),
        ("a: [\n", "error converting YAML to JSON"),
        ('{"a": \n', "error converting YAML to JSON"),
        ("apiVersion: v1\nkind: A\n? [a]\n: b\n", "error converting YAML to JSON"),
        ("apiVersion: v1\nkind: A\nx: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
    ],
)
def test_what_is_no_object_is_said_with_its_file(text: str, said: str) -> None:
    with pytest.raises(CommandError, match=r"f\.yaml") as raised:
        names(text)
    assert said in str(raised.value)


def test_aliases_cannot_blow_a_document_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["apiVersion: v1", "kind: A", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(CommandError, match="more than 2000000 nodes"):
        names("\n".join(lines))


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "BYTES_MAX", 10)
    with pytest.raises(CommandError, match="larger than 10 bytes"):
        names(POD.format(name="a"))


def test_folders_in_order_and_below(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(POD.format(name="b"))
    (tmp_path / "a.yml").write_text(POD.format(name="a"))
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.json").write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}')
    assert [each.name for each in read((str(tmp_path),))] == ["a", "b"]
    assert [each.name for each in read((str(tmp_path),), recursive=True)] == ["a", "b", "c"]
    with pytest.raises(CommandError, match='the path "nope" does not exist'):
        read(("nope",))
    with pytest.raises(CommandError, match="manifests are not fetched"):
        read(("https://example.com/a.yaml",))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POD.format(name="a").encode())))
    (found,) = read(("-",))
    assert (found.name, found.source) == ("a", "STDIN")


@given(st.binary(max_size=200))
def test_any_bytes_are_objects_or_are_refused(raw: bytes) -> None:
    with contextlib.suppress(CommandError):
        assert all(each.kind for each in documents(raw, "f"))
