"""The chain: its order, and what a user's plug-in can and cannot do."""

from __future__ import annotations

import asyncio
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from admission_world import ALICE, Rights, made, write
from two_views import TwoViews

from apiserver.admission import loading
from apiserver.admission.chain import Chain, Foreign, default_chain
from apiserver.admission.loading import PluginError, load_plugins
from apiserver.admission.plugin import Admission, Base, Lookup
from apiserver.api.errors import ApiError, Forbidden, InternalError
from apiserver.auth.rbac import Rbac


class Spy(Base):
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        self.calls.append(f"{self.name} admits")

    async def check(self, request: Admission, lookup: Lookup) -> None:
        self.calls.append(f"{self.name} checks")


def config_map() -> Any:
    return made("configmaps", "c", namespace="team")


def run(chain: Chain, request: Admission) -> None:
    async def both() -> None:
        await chain.admit(request)
        await chain.check(request)

    asyncio.run(both())


def test_all_admit_before_any_checks() -> None:
    calls: list[str] = []
    run(Chain([Spy("a", calls), Spy("b", calls)], TwoViews()), write("configmaps", config_map()))
    assert calls == ["a admits", "b admits", "a checks", "b checks"]


def test_two_plugins_of_one_name_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="two admission plug-ins are called a"):
        Chain([Spy("a", []), Spy("a", [])], TwoViews())


def test_the_order_of_the_servers_own() -> None:
    foreign = Spy("zz", [])
    chain = default_chain(TwoViews(), authorize=Rights(), rbac=Rbac(), foreign=[foreign])
    assert [each.name for each in chain.plugins] == [
        "NamespaceLifecycle",
        "NodeRestriction",
        "ServiceAccount",
        "Priority",
        "DefaultTolerationSeconds",
        "DefaultStorageClass",
        "CertificateSigners",
        "JoinTokens",
        "RbacEscalation",
        "OwnerReferencesPermissionEnforcement",
        "zz",
    ]


def test_a_pod_on_its_way_through_all() -> None:
    lookup = TwoViews()
    lookup.put("namespaces", made("namespaces", "team"))
    lookup.put("serviceaccounts", made("serviceaccounts", "default", namespace="team"))
    pod = made("pods", "web", namespace="team", spec={"containers": [{"name": "app"}]})
    request = write("pods", pod)
    run(default_chain(lookup, authorize=Rights(), rbac=Rbac(), foreign=[]), request)
    spec = request.obj.spec if request.obj is not None else None
    assert spec is not None
    assert (spec.service_account_name, spec.priority, len(spec.tolerations), len(spec.volumes)) == ("default", 0, 2, 1)


# --- plug-ins of users ----------------------------------------------------------------------------------


class Failing(Base):
    name = "failing"

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        raise self.error


def refused_by(plugin: Any, request: Admission | None = None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        run(Chain([Foreign(plugin, timeout_s=0.05)], TwoViews()), request or write("configmaps", config_map()))
    return caught.value


def test_a_users_plugin_may_refuse() -> None:
    error = Forbidden("not on a friday")
    assert refused_by(Failing(error)) is error


def test_a_users_plugin_that_fails_is_named(caplog: pytest.LogCaptureFixture) -> None:
    error = refused_by(Failing(KeyError("secret-value")))
    assert isinstance(error, InternalError)
    assert error.message == 'admission plug-in "failing" failed: KeyError'
    assert "admission plug-in failed" in caplog.text


def test_a_users_plugin_that_hangs_is_cut_off() -> None:
    class Hanging(Base):
        name = "hanging"

        async def check(self, request: Admission, lookup: Lookup) -> None:
            await asyncio.Event().wait()

    assert refused_by(Hanging()).message == 'admission plug-in "hanging" did not answer within 0.05 s'


def test_a_users_plugin_may_change_the_object_but_not_after_it_was_validated() -> None:
    class Labelling(Base):
        name = "labelling"

        async def admit(self, request: Admission, lookup: Lookup) -> None:
            assert request.obj is not None
            request.obj.metadata.labels["admitted"] = request.user.name

        async def check(self, request: Admission, lookup: Lookup) -> None:
            assert request.obj is not None
            request.obj.metadata.labels["checked"] = "x"

    request = write("configmaps", config_map())
    run(Chain([Foreign(Labelling())], TwoViews()), request)
    assert request.obj is not None
    assert request.obj.metadata.labels == {"admitted": ALICE.name}


def test_a_users_plugin_cannot_take_the_object_away() -> None:
    class Taking(Base):
        name = "taking"

        async def admit(self, request: Admission, lookup: Lookup) -> None:
            request.obj = None

    assert refused_by(Taking()).message == 'admission plug-in "taking" took the object away'
    run(
        Chain([Foreign(Taking())], TwoViews()),
        write("configmaps", None, config_map(), operation="DELETE"),
    )


# --- finding them ---------------------------------------------------------------------------------------


class Good(Base):
    name = "good"


class Nameless(Base):
    pass


class Incomplete:
    name = "incomplete"

    def admit(self) -> None:
        """Not a coroutine function."""


def broken() -> Base:
    raise RuntimeError("no licence")


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=loading.GROUP)


def here(what: Any, monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    """An entry point that leads to an object of this file, which has no name to import it by."""
    monkeypatch.setattr(loading, "_found_here", what, raising=False)
    return entry("mine", "apiserver.admission.loading:_found_here")


def test_plugins_are_made_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_a", lambda: Spy("first", []), raising=False)
    monkeypatch.setattr(loading, "_b", Good, raising=False)
    found = [entry("b", "apiserver.admission.loading:_b"), entry("a", "apiserver.admission.loading:_a")]
    assert [each.name for each in load_plugins(found)] == ["first", "good"]


def test_without_any_there_are_none() -> None:
    assert load_plugins() == []


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (broken, "cannot be loaded: RuntimeError: no licence"),
        (Nameless, "has no name"),
        (Incomplete, "has no coroutine function admit(request, lookup)"),
    ],
)
def test_a_broken_plugin_is_told_of(what: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError) as caught:
        load_plugins([here(what, monkeypatch)])
    assert str(caught.value) == f'admission plug-in "mine" (apiserver.admission.loading:_found_here): {why}'


def test_a_plugin_that_is_not_there_is_told_of() -> None:
    with pytest.raises(PluginError, match=r'plug-in "gone" \(nowhere_at_all:X\): cannot be loaded: ModuleNotFound'):
        load_plugins([entry("gone", "nowhere_at_all:X")])


def test_two_plugins_of_one_name_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    one = here(Good, monkeypatch)
    with pytest.raises(PluginError, match='two packages bring an admission plug-in called "good"'):
        load_plugins([one, one])
