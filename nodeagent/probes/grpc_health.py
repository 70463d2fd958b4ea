"""The question of grpc.health.v1: is this service serving? gRPC is there anyway, for the runtime."""

from __future__ import annotations

from .actions import USER_AGENT, place

_METHOD = "/grpc.health.v1.Health/Check"
_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
SERVING = "SERVING"
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 4096),
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own each time: who asks wants to know about today
)


async def service_status(host: str, port: int, service: str, *, within_s: float) -> tuple[str, str]:
    """The status; or "" and what went wrong, in the kubelet's words."""
    import grpc
    import grpc.aio
    from google.protobuf.wrappers_pb2 import Int32Value, StringValue  # the same bytes: one field with the number 1

    channel = grpc.aio.insecure_channel(place(host, port), options=_OPTIONS)
    try:
        call = channel.unary_unary(
            _METHOD, request_serializer=StringValue.SerializeToString, response_deserializer=Int32Value.FromString
        )
        answer = await call(StringValue(value=service), timeout=within_s)
        return _STATUS.get(answer.value, str(answer.value)), ""
    except grpc.aio.AioRpcError as error:
        return "", _words(error.code(), error.details() or "", place(host, port), within_s)
    finally:
        await channel.close()


def _words(code: object, details: str, where: str, within_s: float) -> str:
    import grpc

    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {within_s:g}s"
    if code is grpc.StatusCode.UNAVAILABLE:
        return f'timeout: failed to connect service "{where}" within {within_s:g}s: {details}'
    return f"error: health rpc probe failed: {details}"
