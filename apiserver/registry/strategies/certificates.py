"""CertificateSigningRequest: what may be asked for, and what a decision may change.

Who asks is written into the spec by the caller before these rules; from then on the spec is fixed.
"""

from __future__ import annotations

import base64

from apiserver.api.certificates import CertificateSigningRequest, CertificateSigningRequestCondition
from apiserver.api.fields import Causes
from apiserver.api.names import NameRule, is_dns_label, is_dns_subdomain, is_path_segment_name
from apiserver.registry.strategy import Strategy

from .config import canonical_base64
from .pod_validation.texts import one_of

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
EXPIRATION_SECONDS_MIN = 600
REQUEST_BYTES_MAX = 64 * 1024
DOMAIN_CHARACTERS_MAX = 253
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
USAGES = frozenset(
    (
        "any",
        "cert sign",
        "client auth",
        "code signing",
        "content commitment",
        "crl sign",
        "data encipherment",
        "decipher only",
        "digital signature",
        "email protection",
        "encipher only",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "key agreement",
        "key encipherment",
        "microsoft sgc",
        "netscape sgc",
        "ocsp signing",
        "s/mime",
        "server auth",
        "signing",
        "timestamping",
    )
)


class CertificateSigningRequestStrategy(Strategy[CertificateSigningRequest]):
    name_rule: NameRule = staticmethod(is_path_segment_name)

    def prepare_update(self, obj: CertificateSigningRequest, old: CertificateSigningRequest) -> None:
        obj.spec = old.spec

    def prepare_status(self, obj: CertificateSigningRequest, old: CertificateSigningRequest) -> None:
        """Decisions are made through the approval subresource: here they stay what they were."""
        decided = [each for each in old.status.conditions if each.type in (APPROVED, DENIED)]
        others = [each for each in obj.status.conditions if each.type not in (APPROVED, DENIED)]
        obj.status.conditions = [*decided, *others]

    def default(self, obj: CertificateSigningRequest) -> None:
        obj.spec.request = canonical_base64({"request": obj.spec.request}, "spec")["request"]
        if obj.status.certificate:
            obj.status.certificate = canonical_base64({"certificate": obj.status.certificate}, "status")["certificate"]

    def validate(self, obj: CertificateSigningRequest, causes: Causes) -> None:
        spec = obj.spec
        _validate_request(spec.request, causes, "spec.request")
        _validate_usages(spec.usages, causes, "spec.usages")
        _validate_signer_name(spec.signer_name, causes, "spec.signerName")
        seconds = spec.expiration_seconds
        if seconds is not None and seconds < EXPIRATION_SECONDS_MIN:
            rule = f"may not specify a duration less than {EXPIRATION_SECONDS_MIN} seconds (10 minutes)"
            causes.invalid("spec.expirationSeconds", seconds, rule)
        validate_conditions(obj.status.conditions, causes, "status.conditions")

    def validate_status(self, obj: CertificateSigningRequest, old: CertificateSigningRequest, causes: Causes) -> None:
        validate_conditions(obj.status.conditions, causes, "status.conditions")
        if obj.status.certificate:
            _validate_certificate(obj.status.certificate, causes, "status.certificate")
        if old.status.certificate and obj.status.certificate != old.status.certificate:
            causes.forbidden("status.certificate", "updates may not modify the certificate content")


CERTIFICATE_SIGNING_REQUEST = CertificateSigningRequestStrategy()


def validate_approval(new: CertificateSigningRequest, old: CertificateSigningRequest, causes: Causes) -> None:
    """The rules of a write through the approval subresource: a decision cannot be taken back."""
    path = "status.conditions"
    validate_conditions(new.status.conditions, causes, path)
    there = {each.type for each in new.status.conditions}
    for condition in old.status.conditions:
        if condition.type not in there:
            causes.forbidden(path, f'updates may not remove a condition of type "{condition.type}"')


def validate_conditions(conditions: list[CertificateSigningRequestCondition], causes: Causes, path: str) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        if not condition.type:
            causes.required(f"{at}.type")
        allowed = ("True",) if condition.type in (APPROVED, DENIED, FAILED) else ("False", "True", "Unknown")
        one_of(causes, f"{at}.status", condition.status, allowed)
        if condition.type in seen:
            causes.duplicate(f"{at}.type", condition.type)
        seen.add(condition.type)
        if condition.type in (APPROVED, DENIED) and {APPROVED, DENIED} <= seen:
            causes.invalid(f"{at}.type", condition.type, "Approved and Denied conditions are mutually exclusive")


def _validate_request(request: str, causes: Causes, path: str) -> None:
    from cryptography import x509  # many servers never see a request

    pem = base64.b64decode(request)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem and b"-----BEGIN NEW CERTIFICATE REQUEST-----" not in pem:
        causes.invalid(path, request, "PEM block type must be CERTIFICATE REQUEST")
        return
    if len(pem) > REQUEST_BYTES_MAX:
        causes.too_long(path, REQUEST_BYTES_MAX)
        return
    try:
        signed = x509.load_pem_x509_csr(pem).is_signature_valid
    except Exception as error:  # the parser raises more than it says
        causes.invalid(path, request, f"the request cannot be parsed: {type(error).__name__}")
        return
    if not signed:
        causes.invalid(path, request, "the signature of the request does not fit its key")


def _validate_certificate(certificate: str, causes: Causes, path: str) -> None:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(certificate))
    except ValueError:
        found = []
    if not found:
        causes.invalid(path, "", "must contain at least one CERTIFICATE PEM block")


def _validate_usages(usages: list[str], causes: Causes, path: str) -> None:
    if not usages:
        causes.required(path)
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            causes.not_supported(f"{path}[{index}]", usage, USAGES)
        if usage in usages[:index]:
            causes.duplicate(f"{path}[{index}]", usage)


def _validate_signer_name(name: str, causes: Causes, path: str) -> None:
    if not name:
        causes.required(path)
        return
    if name == LEGACY_SIGNER:
        causes.invalid(path, name, "the legacy signerName is not allowed via this API version")
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        rule = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        causes.invalid(path, name, rule)
        return
    if len(domain) > DOMAIN_CHARACTERS_MAX:
        causes.too_long(path, DOMAIN_CHARACTERS_MAX)
    labels = domain.split(".")
    if len(labels) < 2:
        causes.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for label in labels:
        for message in is_dns_label(label):
            causes.invalid(path, domain, f'validating label "{label}": {message}')
    for label in rest.split("."):
        for message in is_dns_subdomain(label):
            causes.invalid(path, rest, f'validating label "{label}": {message}')
