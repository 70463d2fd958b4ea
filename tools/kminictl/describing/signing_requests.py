"""Requests for certificates: who asks for which, and what became of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ..output.ages import human, rfc1123
from .events import events_of, write_events
from .writer import Writer, formatted_labels

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


async def signing_request(session: Session, writer: Writer, obj: JsonObject) -> None:
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    writer.begin(obj, namespaced=False)
    writer.labels("Labels", metadata.get("labels"))
    writer.line(0, "Annotations:", formatted_labels(metadata.get("annotations")))
    writer.line(0, "CreationTimestamp:", rfc1123(metadata.get("creationTimestamp")))
    writer.line(0, "Requesting User:", spec.get("username", ""))
    writer.line(0, "Signer:", spec.get("signerName", ""))
    if spec.get("expirationSeconds"):
        writer.line(0, "Requested Duration:", human(spec["expirationSeconds"]))
    writer.line(0, "Status:", state(obj))
    writer.line(0, "Subject:")
    _subject(writer, base64.b64decode(spec.get("request", "")))
    writer.flush()
    write_events(writer, await events_of(session, obj))


def state(obj: JsonObject) -> str:
    """`Pending`, or what was decided, and whether there is a certificate."""
    status = obj.get("status") or {}
    found = list(dict.fromkeys(each["type"] for each in status.get("conditions") or [])) or ["Pending"]
    return ",".join([*found, *(["Issued"] if status.get("certificate") else [])])


def _subject(writer: Writer, pem: bytes) -> None:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        request = x509.load_pem_x509_csr(pem)
    except ValueError as error:
        writer.line(0, f"         it cannot be read: {error}")
        return
    for title, kind in (
        ("Common Name:", NameOID.COMMON_NAME),
        ("Serial Number:", NameOID.SERIAL_NUMBER),
        ("Organization:", NameOID.ORGANIZATION_NAME),
    ):
        values = [str(each.value) for each in request.subject.get_attributes_for_oid(kind)]
        writer.line(0, f"         {title}", ", ".join(values))
