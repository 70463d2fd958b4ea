"""What the doctor makes of what it finds."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from kmini import checkup
from kmini.checkup import Finding, judge_lag, judge_quorum
from kmini.inspection import ClusterFacts, MemberFacts
from kmini.layout import Layout

from apiserver.auth import pki


def cluster(*members: tuple[bool, int], leader: str = "1", problems: tuple[str, ...] = ()) -> ClusterFacts:
    """Members as (reachable, applied index)."""
    return ClusterFacts(
        cluster_id="c",
        member_id="1",
        leader=leader,
        term=1,
        revision=1,
        size_bytes=1,
        used_bytes=1,
        problems=problems,
        members=[
            MemberFacts(
                id=str(number),
                name=f"n{number}",
                peer_address="",
                client_address="",
                learner=False,
                reachable=reachable,
                applied_index=applied,
                problem="" if reachable else "down",
            )
            for number, (reachable, applied) in enumerate(members, 1)
        ],
    )


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_a_whole_cluster_is_good() -> None:
    facts = cluster((True, 5), (True, 5), (True, 4))
    assert facts.healthy
    assert levels(judge_quorum(facts)) == ["ok"]
    assert levels(judge_lag(facts)) == ["ok", "ok", "ok"]


def test_one_of_three_away_is_a_warning_and_two_are_bad() -> None:
    assert levels(judge_quorum(cluster((True, 5), (True, 5), (False, 0)))) == ["warning"]
    assert levels(judge_quorum(cluster((True, 5), (False, 0), (False, 0)))) == ["bad"]


def test_no_leader_and_reported_problems_are_bad() -> None:
    facts = cluster((True, 5), leader="", problems=("disk full",))
    assert not facts.healthy
    assert levels(judge_quorum(facts)) == ["ok", "bad", "bad"]


def test_a_member_far_behind_is_named() -> None:
    (first, second) = judge_lag(cluster((True, 5000), (True, 3000)))
    assert first.level == "ok"
    assert (second.level, second.says) == ("warning", "n2 is 2000 entries behind")


def test_everything_not_good_says_what_to_do(tmp_path: Path) -> None:
    found = checkup.examine(Layout(tmp_path / "missing"))
    assert found[0].level == "bad"
    assert all(finding.do for finding in found if finding.level != "ok")
    assert {finding.check for finding in found} >= {"disk", "clock", "server"}


def test_certificates_are_judged_by_their_days(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    now = datetime.datetime.now(datetime.UTC)
    pki.init_shared(layout.pki)
    authority = pki.load_authority(layout.pki, pki.CLUSTER_CA)
    pki.write_pair(layout.pki, "good", pki.issue_admin(authority))
    pki.write_pair(layout.pki, "soon", pki.issue_admin(authority, now - datetime.timedelta(days=340)))
    pki.write_pair(layout.pki, "over", pki.issue_admin(authority, now - datetime.timedelta(days=400)))
    pki.write_pair(layout.pki, "early", pki.issue_admin(authority, now + datetime.timedelta(days=2)))
    (layout.pki / "broken.crt").write_text("no certificate")
    found = {finding.says.split(" ")[0].split("/")[-1]: finding.level for finding in checkup.check_certificates(layout)}
    assert found == {
        "ca.crt": "ok",
        "peer-ca.crt": "ok",
        "good.crt": "ok",
        "soon.crt": "warning",
        "over.crt": "bad",
        "early.crt": "bad",
        "broken.crt": "bad",
    }


def test_an_fsync_is_timed_and_leaves_no_file(tmp_path: Path) -> None:
    (finding,) = checkup.check_fsync(Layout(tmp_path))
    assert finding.check == "fsync"
    assert " ms" in finding.says
    assert list(tmp_path.iterdir()) == []
