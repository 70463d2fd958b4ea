"""kubectl's output without what differs from run to run: ages, uids, revisions, addresses, generated names."""

from __future__ import annotations

import re

_AGE = r"(?:\d+s|\dm\d*s?|1?\d\dm|\d+y\d*d?)"  # up to three hours; 250m is none
_RULES = [
    (r"[ \t]+$", ""),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000)?", "TIME"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", "TIME"),
    (r"(resourceVersion\"?: ?\"?|Resource Version: +)\d+", r"\1N"),
    (r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access-*****"),
    (r"\b10\.96\.(?!0\.1\b)\d+\.\d+\b", "10.96.*.*"),
    (r"\b([0-9]+:)3[0-2]\d{3}/", r"\1NODEPORT/"),
    (r"(NodePort: .*?)3[0-2]\d{3}/", r"\1NODEPORT/"),
    (r"127\.0\.0\.1:\d{4,5}\b", "SERVER"),
    (r"(/\S*)?/(LIVE|MERGED)-\d+/", r"\2/"),
    (r"(/\S*)?/kubectl(\.1\.\d+)?-edit-\d+\.yaml", "EDITED"),
    (r"^([IWE])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\]", r"\1 klog]"),
    (r"(?<=\S) {2,}", "  "),  # columns are as wide as the widest age
    (rf"(^|  ){_AGE}(?=$|  | \()", r"\1AGE"),
    (rf"\(x(\d+) over {_AGE}\)", r"(x\1 over AGE)"),
    (r"X509SHA256=[0-9a-f]{64}", "X509SHA256=HASH"),
    (r"\+kmini\.[\w.]+", "+kmini.VERSION"),
]
_LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"  # of generated names
#: What controllers and nodes make up.
_GENERATED_RULES = [
    (r"\bpvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=_)", "pvc-UID"),
    (rf"-{_LETTERS}{{8,10}}-{_LETTERS}{{5}}\b", "-HASH-*****"),
    (rf"(-|pod-template-hash[=:] ?){_LETTERS}{{8,10}}\b", r"\1HASH"),
    (r"-[0-9a-f]{10}\b", "-HASH"),
    (r"\b10\.(244|128)\.\d+\.\d+\b", "10.244.*.*"),  # 10.128: simulated nodes that know no network yet
    (r"\bfake://[0-9a-f]{64}\b", "fake://ID"),
    (r"\bsha256:[0-9a-f]{64}\b", "sha256:HASH"),
    (r"(Machine ID: +)[0-9a-f]{32}", r"\1ID"),
]


def _compiled(rules: list[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in rules]


_COMPILED, _COMPILED_GENERATED = _compiled(_RULES), _compiled(_GENERATED_RULES)


def normalised(text: str) -> str:
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    return text


def without_generated(text: str) -> str:
    """Normalised, and without names and addresses that controllers and nodes make up."""
    text = normalised(text)
    for pattern, replacement in _COMPILED_GENERATED:
        text = pattern.sub(replacement, text)
    return text
