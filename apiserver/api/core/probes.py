"""core/v1: how a container is asked whether it is well, and what runs when it starts and stops."""

from __future__ import annotations

from apiserver.api.base import Int32, Int64, IntOrString, Object, always


class ExecAction(Object):
    """Runs a command in the container; exit code 0 is success.

    command: Command and its arguments; no shell is around it.
    """

    command: list[str] = []


class HTTPHeader(Object):
    """A header of a request.

    name: Name of the header.
    value: Value of the header.
    """

    name: str = always("")
    value: str = always("")


class HTTPGetAction(Object):
    """Sends a GET request; codes 200 to 399 are success.

    path: Path to ask for.
    port: Number or name of the container's port.
    host: Host to connect to; the pod's address when empty.
    scheme: HTTP (when empty) or HTTPS.
    http_headers: Headers to send.
    """

    path: str = ""
    port: IntOrString = always(0)
    host: str = ""
    scheme: str = ""
    http_headers: list[HTTPHeader] = []


class TCPSocketAction(Object):
    """Opens a TCP connection; to be let in is success.

    port: Number or name of the container's port.
    host: Host to connect to; the pod's address when empty.
    """

    port: IntOrString = always(0)
    host: str = ""


class GRPCAction(Object):
    """Calls the gRPC health service.

    port: Number of the port.
    service: Service to ask about; empty asks about the whole server.
    """

    port: Int32 = always(0)
    service: str | None = None


class SleepAction(Object):
    """Waits.

    seconds: How long to wait.
    """

    seconds: Int64 = always(0)


class ProbeHandler(Object):
    """What a probe does; exactly one field is set.

    exec: Run a command.
    http_get: Send an HTTP request.
    tcp_socket: Open a TCP connection.
    grpc: Call the gRPC health service.
    """

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None


class Probe(ProbeHandler):
    """A check that is made of a container again and again.

    initial_delay_seconds: Seconds after the container's start before the first check.
    timeout_seconds: Seconds a check may take; 1 when left out.
    period_seconds: Seconds between checks; 10 when left out.
    success_threshold: Successes in a row that end a failure; 1 when left out, and always for liveness and startup.
    failure_threshold: Failures in a row that count as failure; 3 when left out.
    termination_grace_period_seconds: Seconds the container has to end after this probe failed; the pod's when absent.
    """

    initial_delay_seconds: Int32 = 0
    timeout_seconds: Int32 = 0
    period_seconds: Int32 = 0
    success_threshold: Int32 = 0
    failure_threshold: Int32 = 0
    termination_grace_period_seconds: Int64 | None = None


class LifecycleHandler(Object):
    """What a hook does; exactly one field is set.

    exec: Run a command.
    http_get: Send an HTTP request.
    tcp_socket: Kept for old manifests; a hook that uses it fails.
    sleep: Wait.
    """

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Object):
    """Hooks that run when a container starts and before it is stopped.

    post_start: Runs right after the start; the container is stopped when it fails.
    pre_stop: Runs before the stop signal, within the grace period.
    stop_signal: Signal that stops the container; needs spec.os.name.
    """

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None
