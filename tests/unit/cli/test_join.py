"""`kmini server --join`: nothing is believed but the pinned CA, and the token is shown to nobody else."""

from __future__ import annotations

import datetime
import json
import ssl
from pathlib import Path

import pytest
from kmini import certificates, join
from kmini.api import request
from kmini.errors import CommandError
from kmini.layout import Layout
from kmini.tokens import join_token
from tls_http import Answer, Asked, https_server

from apiserver.auth import joining, pki
from apiserver.auth.join_token import ROLE_GROUPS, BootstrapToken, new_bootstrap_token
from apiserver.auth.user import User

MEMBERS = {"n1": "192.0.2.1:2380"}
CALLER = User(name="system:bootstrap:abcdef", groups=(ROLE_GROUPS["server"],))
DAY = datetime.timedelta(days=1)


class Cluster:
    """A server of a cluster that answers joiners with a valid server token."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        pki.init_shared(self.layout.pki)
        self.issue()
        self.token = new_bootstrap_token()
        self.ca = (self.layout.pki / "ca.crt").read_bytes()

    def issue(self, now: datetime.datetime | None = None) -> None:
        authority = pki.load_authority(self.layout.pki, pki.CLUSTER_CA)
        pki.write_pair(self.layout.pki, certificates.SERVING, pki.issue_serving(authority, ["127.0.0.1"], now))

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.layout.pki / "server.crt", self.layout.pki / "server.key")
        return context

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        if (asked.method, asked.path) == ("GET", joining.PATH_CA):
            return 200, self.ca
        if asked.headers.get("authorization") != f"Bearer {self.token.text}":
            return 401, b'{"kind":"Status","message":"Unauthorized"}'
        return 200, joining.hand_out(asked.body, CALLER, self.layout.pki, MEMBERS)

    def token_file(self, folder: Path, token: BootstrapToken | None = None) -> Path:
        path = folder / "token"
        path.write_text(join_token(self.layout, token or self.token).text + "\n")
        return path


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def joined(cluster: Cluster, tmp_path: Path, answer: Answer | None = None, token_file: Path | None = None) -> Layout:
    layout = Layout(tmp_path / "joiner")
    with https_server(cluster.context(), answer or cluster.answer) as place:
        file = token_file or cluster.token_file(tmp_path)
        assert join.join(f"https://{place.address}", file, layout, name="n2") == MEMBERS
        assert [(each.method, each.path) for each in place.asked] == [
            ("GET", joining.PATH_CA),
            ("POST", joining.PATH_JOIN),
        ]
        assert "authorization" not in place.asked[0].headers
    return layout


def test_a_joiner_gets_the_keys_and_the_members(cluster: Cluster, tmp_path: Path) -> None:
    layout = joined(cluster, tmp_path)
    assert joined(cluster, tmp_path).pki == layout.pki  # again, as after a crash
    for name in pki.SHARED_FILES:
        assert (layout.pki / name).read_bytes() == (cluster.layout.pki / name).read_bytes()
    assert not join.has_joined(layout)
    layout.raft.mkdir()
    (layout.raft / "identity").write_text("{}")
    assert join.has_joined(layout)


def test_another_cluster_never_sees_the_token(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "other")
    file = cluster.token_file(tmp_path)
    with https_server(other.context(), other.answer) as place:
        with pytest.raises(CommandError, match="another hash"):
            join.join(f"https://{place.address}", file, Layout(tmp_path / "joiner"), name="n2")
        assert [each.path for each in place.asked] == [joining.PATH_CA]
        assert cluster.token.secret not in repr(place.asked)


def test_who_only_shows_the_right_ca_gets_no_token(cluster: Cluster, tmp_path: Path) -> None:
    """The CA's certificate is public: anybody can show it. Only its servers can prove themselves under it."""
    impostor = Cluster(tmp_path / "impostor")
    impostor.ca = cluster.ca
    file = cluster.token_file(tmp_path)
    with https_server(impostor.context(), impostor.answer) as place:
        with pytest.raises(CommandError, match="not one this cluster's CA vouches for"):
            join.join(f"https://{place.address}", file, Layout(tmp_path / "joiner"), name="n2")
        assert [each.path for each in place.asked] == [joining.PATH_CA]


def test_a_token_that_is_not_known_is_refused_in_the_servers_words(cluster: Cluster, tmp_path: Path) -> None:
    file = cluster.token_file(tmp_path, new_bootstrap_token())
    with pytest.raises(CommandError, match="Unauthorized"):
        joined(cluster, tmp_path, token_file=file)
    assert not (tmp_path / "joiner").exists()


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"format":1}', b"\xff"])
def test_a_bad_answer_is_one_error(cluster: Cluster, tmp_path: Path, answer: bytes) -> None:
    def bad(asked: Asked) -> tuple[int, bytes]:
        return (200, cluster.ca) if asked.method == "GET" else (200, answer)

    with pytest.raises(CommandError, match="cannot join through"):
        joined(cluster, tmp_path, bad)
    assert not (tmp_path / "joiner").exists()


@pytest.mark.parametrize("ca", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_ca(cluster: Cluster, tmp_path: Path, ca: bytes) -> None:
    cluster.ca = ca
    with pytest.raises(CommandError, match="did not answer with a certificate"):
        joined(cluster, tmp_path)


def test_certificates_and_clocks_are_told_apart_in_plain_words(cluster: Cluster, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for issued, words in ((now - 400 * DAY, "is over, if this machine's clock is right"), (now + DAY, "check this")):
        cluster.issue(issued)
        with pytest.raises(CommandError, match=words):
            joined(cluster, tmp_path)


def test_nobody_there(cluster: Cluster, tmp_path: Path) -> None:
    with https_server(cluster.context(), cluster.answer) as place:
        address = place.address
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        join.join(f"https://{address}", cluster.token_file(tmp_path), Layout(tmp_path / "joiner"), name="n2")


@pytest.mark.parametrize(
    "content", [b"", b"K1abc", b"K10" + b"a" * 5000, b"\xff\xfe", b"K2" + b"0" * 64 + b".abcdef.x"]
)
def test_a_bad_token_file_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(CommandError, match="cannot use the token in") as caught:
        join.read_token(file)
    assert "aaaa" not in str(caught.value)
    with pytest.raises(CommandError, match="nowhere"):
        join.read_token(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://192.0.2.1:6443", "192.0.2.1:6443"),
        ("https://192.0.2.1", "192.0.2.1:6443"),
        ("https://[2001:db8::1]:7443/", "[2001:db8::1]:7443"),
        ("http://192.0.2.1:6443", None),
        ("192.0.2.1:6443", None),
        ("https://", None),
        ("https://192.0.2.1/path", None),
        ("https://me@192.0.2.1", None),
        ("https://192.0.2.1:x", None),
        ("https://192.0.2.1:99999", None),
    ],
)
def test_where_to_join(url: str, address: str | None) -> None:
    if address is not None:
        assert join.address_of(url) == address
        return
    with pytest.raises(ValueError, match=r".+"):
        join.address_of(url)


def test_an_answer_without_bound_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmini.api.ANSWER_BYTES_MAX", 10)
    with (
        https_server(cluster.context(), lambda _: (200, json.dumps("x" * 20).encode())) as place,
        pytest.raises(CommandError, match="more than 10 bytes"),
    ):
        request(place.address, join.trusting_ca(cluster.ca), "GET", "/")
