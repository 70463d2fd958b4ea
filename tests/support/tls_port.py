"""Certificates for TLS ports on loopback that a test opens itself, and what clients show there."""

from __future__ import annotations

import ssl
from pathlib import Path

from apiserver.auth import pki

NAME = "n"


class Certificates:
    """`ca_file` is the cluster's authority, `pair_file` what the port shows."""

    def __init__(self, folder: Path) -> None:
        pki.init_shared(folder)
        self._authority = pki.load_authority(folder, pki.CLUSTER_CA)
        self._folder = folder
        self._clients: dict[tuple[str, ...], ssl.SSLContext] = {}
        self.ca_file = folder / "ca.crt"
        self.pair_file = folder / "serving.pem"
        self.certify()

    def certify(self) -> None:
        """The port's certificate, anew."""
        pair = pki.issue_serving(self._authority, [NAME])
        self.pair_file.write_bytes(pair.certificate_pem + pair.key_pem)

    def server(self) -> ssl.SSLContext:
        """A client may show a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pair_file)
        context.load_verify_locations(self.ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client(self, *groups: str) -> ssl.SSLContext:
        """With a certificate of these groups; without groups it shows none."""
        context = self._clients.get(groups)
        if context is None:
            context = self._clients[groups] = ssl.create_default_context(cafile=str(self.ca_file))
            if groups:
                name = f"client-{len(self._clients)}"
                pki.write_pair(self._folder, name, pki.issue_client(self._authority, "somebody", groups))
                context.load_cert_chain(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        return context
