"""Probes and hooks of a container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.api.core.containers import Container
from apiserver.api.core.probes import ExecAction, GRPCAction, HTTPGetAction, Probe, SleepAction, TCPSocketAction
from apiserver.api.fields import Causes
from apiserver.api.names import is_http_header_name, is_port_name, is_port_number
from apiserver.api.validation import check

from .texts import not_negative, required

SCHEMES = ("HTTP", "HTTPS")
SIDECARS_ONLY = "may not be set for init containers without restartPolicy=Always"


def _port(causes: Causes, path: str, port: int | str) -> None:
    for problem in is_port_number(port) if isinstance(port, int) else is_port_name(port):
        causes.invalid(path, port, problem)


def _exec(action: ExecAction, causes: Causes, path: str, grace_period_s: int | None) -> None:
    required(causes, f"{path}.command", action.command)


def _http_get(action: HTTPGetAction, causes: Causes, path: str, grace_period_s: int | None) -> None:
    required(causes, f"{path}.path", action.path)
    _port(causes, f"{path}.port", action.port)
    if action.scheme not in SCHEMES:
        causes.not_supported(f"{path}.scheme", action.scheme, SCHEMES)
    for header in action.http_headers:
        check(is_http_header_name, header.name, causes, f"{path}.httpHeaders")


def _tcp_socket(action: TCPSocketAction, causes: Causes, path: str, grace_period_s: int | None) -> None:
    _port(causes, f"{path}.port", action.port)


def _grpc(action: GRPCAction, causes: Causes, path: str, grace_period_s: int | None) -> None:
    _port(causes, f"{path}.port", action.port)


def _sleep(action: SleepAction, causes: Causes, path: str, grace_period_s: int | None) -> None:
    if grace_period_s is not None and not 0 <= action.seconds <= grace_period_s:
        rule = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_period_s})"
        causes.invalid(path, action.seconds, rule)


_Rule = Callable[[Any, Causes, str, int | None], None]
_HANDLERS: tuple[tuple[str, str, _Rule], ...] = (
    ("exec", "exec", _exec),
    ("http_get", "httpGet", _http_get),
    ("tcp_socket", "tcpSocket", _tcp_socket),
    ("grpc", "grpc", _grpc),
    ("sleep", "sleep", _sleep),
)


def _handler(holder: object, causes: Causes, path: str, grace_period_s: int | None) -> None:
    """Exactly one of the actions of a probe or hook."""
    found = False
    for attribute, name, rule in _HANDLERS:
        action = getattr(holder, attribute, None)
        if action is None:
            continue
        if found:
            causes.forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
        else:
            rule(action, causes, f"{path}.{name}", grace_period_s)
        found = True
    if not found:
        causes.required(path, "must specify a handler type")


def _probe(probe: Probe, causes: Causes, path: str) -> None:
    _handler(probe, causes, path, None)
    not_negative(causes, f"{path}.initialDelaySeconds", probe.initial_delay_seconds)
    not_negative(causes, f"{path}.timeoutSeconds", probe.timeout_seconds)
    not_negative(causes, f"{path}.periodSeconds", probe.period_seconds)
    not_negative(causes, f"{path}.successThreshold", probe.success_threshold)
    not_negative(causes, f"{path}.failureThreshold", probe.failure_threshold)
    grace_period = probe.termination_grace_period_seconds
    if grace_period is not None and grace_period <= 0:
        causes.invalid(f"{path}.terminationGracePeriodSeconds", grace_period, "must be greater than 0")


def validate_probes(container: Container, causes: Causes, path: str, grace_period_s: int | None) -> None:
    """Hooks and probes of a container that may have them; `grace_period_s` is the pod's."""
    if container.lifecycle:
        for name, hook in (("postStart", container.lifecycle.post_start), ("preStop", container.lifecycle.pre_stop)):
            if hook:
                _handler(hook, causes, f"{path}.lifecycle.{name}", grace_period_s)
    for name, probe in (("livenessProbe", container.liveness_probe), ("startupProbe", container.startup_probe)):
        if probe:
            _probe(probe, causes, f"{path}.{name}")
            if probe.success_threshold != 1:
                causes.invalid(f"{path}.{name}.successThreshold", probe.success_threshold, "must be 1")
    if probe := container.readiness_probe:
        _probe(probe, causes, f"{path}.readinessProbe")
        grace_period = probe.termination_grace_period_seconds
        if grace_period is not None:
            name = f"{path}.readinessProbe.terminationGracePeriodSeconds"
            causes.invalid(name, grace_period, "must not be set for readinessProbes")


def forbid_probes(container: Container, causes: Causes, path: str) -> None:
    """An init container that runs to its end has no life to watch."""
    for name, given in (
        ("lifecycle", container.lifecycle),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if given is not None:
            causes.forbidden(f"{path}.{name}", SIDECARS_ONLY)
