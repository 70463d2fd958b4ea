"""What clients ask of agents: read, checked, and as the agent hears it."""

from __future__ import annotations

import pytest

from apiserver.api.errors import ApiError, BadRequest, Invalid
from apiserver.http import node_options
from apiserver.http.relay import answered_fields, forwarded


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("follow=false&previous=0&timestamps=FALSE", ""),
        ("follow&previous=true&timestamps=yes", "follow=true&previous=true&timestamps=true"),
        ("sinceTime=2024-01-02T03:04:05%2B01:00", "sinceTime=2024-01-02T03%3A04%3A05%2B01%3A00"),
        ("tailLines=0", "tailLines=0"),
        ("tailLines=%2B7", "tailLines=7"),
        ("limitBytes=9223372036854775807", "limitBytes=9223372036854775807"),
        ("pretty=true&insecureSkipTLSVerifyBackend=true&unknown=1", ""),
    ],
)
def test_queries_of_logs(query: str, expected: str) -> None:
    assert node_options.log_query(node_options.parameters_of(query), "x") == expected


@pytest.mark.parametrize(
    "query",
    [
        "tailLines=1.5",
        "tailLines=9223372036854775808",
        "limitBytes=٣",
        "sinceSeconds=-",
        "sinceSeconds=1e3",
        "tailLines=--1",
    ],
)
def test_numbers_that_are_none(query: str) -> None:
    with pytest.raises(BadRequest, match=query.partition("=")[0]):
        node_options.log_query(node_options.parameters_of(query), "x")


def test_every_broken_rule_is_named() -> None:
    parameters = node_options.parameters_of("tailLines=-1&limitBytes=0&sinceSeconds=0")
    with pytest.raises(Invalid) as caught:
        node_options.log_query(parameters, "x")
    assert [cause.field for cause in caught.value.causes] == ["tailLines", "limitBytes", "sinceSeconds"]
    assert caught.value.message.startswith('PodLogOptions "x" is invalid: [tailLines: ')


def test_the_first_value_counts_and_all_commands() -> None:
    parameters = node_options.parameters_of("container=a&container=b&command=sh&command=-c&command=&stdin=1")
    options = node_options.stream_options(parameters, "PodExecOptions")
    assert (options.container, options.command, options.stdin, options.tty) == ("a", ["sh", "-c", ""], True, False)
    assert node_options.stream_query(options) == "input=1&command=sh&command=-c&command="


@pytest.mark.parametrize("text", ["0", "65536", "-1", "x", "", "80,", "１", "000080"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(BadRequest, match="ports"):
        node_options.port_options([("ports", text)])


def test_ports_have_a_number() -> None:
    with pytest.raises(BadRequest, match="at most"):
        node_options.port_options([("ports", "80")] * 65)


@pytest.mark.parametrize("query", ["a=%ff", "&".join(["a=1"] * 2000)])
def test_queries_that_cannot_be_read(query: str) -> None:
    with pytest.raises(ApiError):
        node_options.parameters_of(query)


def test_what_is_passed_on() -> None:
    asked = [
        ("Host", "api"),
        ("Authorization", "Bearer t"),
        ("Impersonate-User", "root"),
        ("impersonate-extra-a", "b"),
        ("X-Remote-Group", "system:masters"),
        ("Connection", "keep-alive, X-Secret"),
        ("X-Secret", "1"),
        ("Keep-Alive", "5"),
        ("Proxy-Authorization", "Basic x"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("Content-Length", "5"),
        ("Content-Type", "text/plain"),
        ("Accept", "a"),
        ("Accept", "b"),
        ("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.dG9rZW4"),
        ("Sec-WebSocket-Protocol", "v4.channel.k8s.io , base64url.bearer.authorization.k8s.io.dG9rZW4"),
    ]
    assert forwarded(asked) == [
        ("Content-Type", "text/plain"),
        ("Accept", "a"),
        ("Accept", "b"),
        ("Sec-WebSocket-Protocol", "v4.channel.k8s.io"),
    ]


def test_what_is_passed_back() -> None:
    answered = [("Connection", "close, X-Own"), ("X-Own", "1"), ("Transfer-Encoding", "chunked"), ("ETag", "e")]
    assert answered_fields(answered) == [("ETag", "e")]
