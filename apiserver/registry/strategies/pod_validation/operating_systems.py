"""What a pod may ask for depends on the system it says it is for; host namespaces exclude user namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import PodSpec
from apiserver.api.core.security import WindowsSecurityContextOptions
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_subdomain
from apiserver.api.validation import check

SYSTEMS = ("linux", "windows")
_SPEC_BYTES_MAX = 64 * 1024
_DOMAIN_CHARACTERS_MAX = 255
_USER_CHARACTERS_MAX = 104
_NOT_ON_WINDOWS = "cannot be set for a windows pod"
_NOT_ON_LINUX = "windows options cannot be set for a linux pod"
_HOST_USERS_FALSE = "when `pod.Spec.HostUsers` is false"
_control_re = re.compile(r"[\x00-\x1f\x7f]")
_netbios_re = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_domain_re = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*")
_user_forbidden_re = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def all_containers(spec: PodSpec, path: str) -> Iterator[tuple[Container, str]]:
    """Every container of a pod, with its path."""
    for index, init in enumerate(spec.init_containers):
        yield init, f"{path}.initContainers[{index}]"
    for index, each in enumerate(spec.containers):
        yield each, f"{path}.containers[{index}]"
    for index, ephemeral in enumerate(spec.ephemeral_containers):
        yield ephemeral, f"{path}.ephemeralContainers[{index}]"


def _user_name_problem(name: str) -> str:
    domain, backslash, user = name.rpartition("\\")
    if not name:
        return "runAsUserName cannot be an empty string"
    if _control_re.search(name):
        return "runAsUserName cannot contain control characters"
    if "\\" in domain:
        return "runAsUserName cannot contain more than one backslash"
    if len(domain) > _DOMAIN_CHARACTERS_MAX:
        return f"runAsUserName's Domain length must be under {_DOMAIN_CHARACTERS_MAX + 1} characters"
    if backslash and not _netbios_re.fullmatch(domain) and not _domain_re.fullmatch(domain):
        return "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
    if not user:
        return "runAsUserName's User cannot be empty"
    if len(user) > _USER_CHARACTERS_MAX:
        return f"runAsUserName's User length must not be longer than {_USER_CHARACTERS_MAX} characters"
    if not user.strip(". "):
        return "runAsUserName's User cannot contain only periods or spaces"
    if _user_forbidden_re.search(user):
        return r'runAsUserName\'s User cannot contain the following characters: "/\:;|=,+*?<>@[]'.replace(r"\'", "'")
    return ""


def validate_windows_options(options: WindowsSecurityContextOptions | None, causes: Causes, path: str) -> None:
    if options is None:
        return
    if options.gmsa_credential_spec_name is not None:
        check(is_dns_subdomain, options.gmsa_credential_spec_name, causes, f"{path}.gmsaCredentialSpecName")
    credentials = options.gmsa_credential_spec
    if credentials is not None and not credentials:
        causes.invalid(f"{path}.gmsaCredentialSpec", credentials, "gmsaCredentialSpec cannot be an empty string")
    elif credentials and len(credentials.encode()) > _SPEC_BYTES_MAX:
        rule = f"gmsaCredentialSpec size must be under {_SPEC_BYTES_MAX // 1024} KiB"
        causes.invalid(f"{path}.gmsaCredentialSpec", credentials, rule)
    if options.run_as_user_name is not None and (problem := _user_name_problem(options.run_as_user_name)):
        causes.invalid(f"{path}.runAsUserName", options.run_as_user_name, problem)


def _only_for_linux(value: msgspec.Struct | None, allowed: tuple[str, ...], causes: Causes, path: str) -> None:
    for field in msgspec.structs.fields(value) if value is not None else ():
        if field.name not in allowed and getattr(value, field.name) not in (None, []):
            causes.forbidden(f"{path}.{field.encode_name}", _NOT_ON_WINDOWS)


def _windows(spec: PodSpec, causes: Causes, path: str) -> None:
    kept = ("windows_options", "run_as_non_root")
    _only_for_linux(spec.security_context, kept, causes, f"{path}.securityContext")
    for name, given in (
        ("hostUsers", spec.host_users is not None),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
        ("shareProcessNamespace", spec.share_process_namespace is not None),
    ):
        if given:
            causes.forbidden(f"{path}.{name}", _NOT_ON_WINDOWS)
    for container, here in all_containers(spec, path):
        _only_for_linux(container.security_context, kept, causes, f"{here}.securityContext")


def _linux(spec: PodSpec, causes: Causes, path: str) -> None:
    if spec.security_context and spec.security_context.windows_options:
        causes.forbidden(f"{path}.securityContext.windowsOptions", _NOT_ON_LINUX)
    for container, here in all_containers(spec, path):
        if container.security_context and container.security_context.windows_options:
            causes.forbidden(f"{here}.securityContext.windowsOptions", _NOT_ON_LINUX)


def _host_processes(spec: PodSpec, causes: Causes, path: str) -> None:
    """Either all containers of a Windows pod run on the host itself, or none."""
    options = spec.security_context.windows_options if spec.security_context else None
    of_pod = options.host_process if options else None
    count = on_host = 0
    for container, here in all_containers(spec, path):
        mine = container.security_context.windows_options if container.security_context else None
        own = mine.host_process if mine else None
        if of_pod is not None and own is not None and of_pod != own:
            rule = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            causes.invalid(f"{here}.securityContext.windowsOptions.hostProcess", own, rule)
        count += 1
        on_host += bool(of_pod if own is None else own)
    if on_host and on_host != count:
        rule = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        causes.invalid(path, "", rule)
    if on_host and not spec.host_network:
        rule = "hostNetwork must be true if pod contains any hostProcess containers"
        causes.invalid(f"{path}.hostNetwork", False, rule)


def validate_operating_system(spec: PodSpec, causes: Causes, path: str) -> None:
    if spec.security_context:
        validate_windows_options(
            spec.security_context.windows_options, causes, f"{path}.securityContext.windowsOptions"
        )
    _host_processes(spec, causes, path)
    if spec.host_users is False:
        for name, given in (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)):
            if given:
                causes.forbidden(f"{path}.{name}", _HOST_USERS_FALSE)
    if spec.os is None:
        return
    if not spec.os.name:
        causes.required(f"{path}.os.name", "cannot be empty")
    elif spec.os.name not in SYSTEMS:
        causes.not_supported(f"{path}.os", spec.os.name, SYSTEMS)
    else:
        (_linux if spec.os.name == "linux" else _windows)(spec, causes, path)
