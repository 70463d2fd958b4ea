"""What was found out about nodes for one template, kept until the node changes.

Side by side with the snapshot's list of nodes: the generation at which a result was made, and the result. Another
generation there means another state of the node, or another node in its place, and the result is made anew when it is
asked for. What the node object alone decides is kept beside its own generation: pods come and go more often.
"""

from __future__ import annotations

from collections.abc import Sequence

from .filters.filter import Cycle
from .filters.reason import FITS, Verdict
from .node_info import NodeInfo
from .profile import Profile
from .scores.score import Scale, Score

_NEVER = -1


class Verdicts:
    """`verdicts` and `fixed` hold for a place in the list once `stamps` there is the node's generation.

    verdicts: What the local filters say; empty when the node will do. fixed: the weighted sum of the local scores that
    need no other node to compare with.
    """

    def __init__(self, cycle: Cycle, profile: Profile) -> None:
        self.template = template = cycle.template
        concerned = [each for each in profile.filters if each.check is not None and each.concerns(template)]
        self._object_checks = [each.check for each in concerned if each.check and not each.by_pods]
        self._pods_checks = [each.check for each in concerned if each.check and each.by_pods]
        self._rates = [
            (each.rate, each.weight)
            for each in profile.scores
            if each.rate is not None and each.scale is Scale.SCALED and each.concerns(cycle)
        ]
        self.stamps: list[int] = []
        self.verdicts: list[Verdict] = []
        self.fixed: list[int] = []
        self._object_stamps: list[int] = []
        self._object_verdicts: list[Verdict] = []
        self._compared: dict[str, tuple[list[int], list[int]]] = {}

    def fit(self, nodes: int) -> None:
        """Makes room for that many nodes."""
        more = nodes - len(self.stamps)
        if more > 0:
            self.stamps += [_NEVER] * more
            self.verdicts += [FITS] * more
            self.fixed += [0] * more
            self._object_stamps += [_NEVER] * more
            self._object_verdicts += [FITS] * more

    def renew(self, slot: int, node: NodeInfo) -> None:
        """Judges the node anew."""
        template = self.template
        if self._object_stamps[slot] != node.object_generation:
            self._object_stamps[slot] = node.object_generation
            self._object_verdicts[slot] = FITS
            for check in self._object_checks:
                verdict = check(template, node)
                if verdict:
                    self._object_verdicts[slot] = verdict
                    break
        verdict = self._object_verdicts[slot]
        if not verdict:
            for check in self._pods_checks:
                verdict = check(template, node)
                if verdict:
                    break
            else:
                total = 0
                for rate, weight in self._rates:
                    total += weight * rate(template, node)
                self.fixed[slot] = total
        self.verdicts[slot] = verdict
        self.stamps[slot] = node.generation

    def numbers(self, score: Score, slots: Sequence[int], nodes: Sequence[NodeInfo]) -> list[int]:
        """What a local score gives these nodes, before they are compared."""
        rate, template = score.rate, self.template
        assert rate is not None
        stamps, numbers = self._compared.setdefault(score.name, ([], []))
        if len(stamps) < len(self.stamps):
            stamps += [_NEVER] * (len(self.stamps) - len(stamps))
            numbers += [0] * (len(self.stamps) - len(numbers))
        for slot in slots:
            node = nodes[slot]
            if stamps[slot] != node.generation:
                stamps[slot] = node.generation
                numbers[slot] = rate(template, node)
        return [numbers[slot] for slot in slots]
