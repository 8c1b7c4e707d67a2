"""Selectors of Prometheus series, as a policy or a profile writes them. Text only: nothing is asked here.

A selector is a name with labels to match, or several joined by `or`: never a function. A sum over processes hides the
restart of one of them, and rate() guesses; raw counters, differenced series by series, do neither.
"""

from __future__ import annotations

import re

ARMS = ("canary", "primary")
_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`'
_MATCHER = rf"[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*(?:{_STRING})"
_LABELS = rf"\{{\s*(?:{_MATCHER}\s*(?:,\s*{_MATCHER}\s*)*,?)?\s*\}}"
_NAMED = re.compile(rf"(?:[a-zA-Z_:][\w:]*\s*(?:{_LABELS})?|{_LABELS})")
_OR = re.compile(r"(?:\s+|(?<=\}))or(?=[\s{])\s*")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_ONLY = "only selectors of raw series, joined by `or`; no function, no sum, no rate()"
_KNOWN = ("namespace", "name", "workload", "arm")


def split(text: str) -> tuple[str, ...]:
    """The plain selectors that `text` joins by `or`.

    Raises:
        ValueError: anything else, a function or an operator; the message shows where.
    """
    found: list[str] = []
    place = len(text) - len(text.lstrip())
    while True:
        selector = _NAMED.match(text, place)
        if selector is None:
            raise ValueError(f"no selector at {text[place : place + 40]!r}")
        found.append(selector[0].strip())
        if not text[selector.end() :].strip():
            return tuple(found)
        joint = _OR.match(text, len(text[: selector.end()].rstrip()))
        if joint is None:
            rest = text[selector.end() : selector.end() + 40]
            raise ValueError(f"{rest!r} after {found[-1][:60]!r}: {_ONLY}")
        place = joint.end()


def fill(text: str, *, namespace: str, name: str, workload: str, arm: str) -> str:
    """The placeholders {namespace}, {name}, {workload} and {arm} replaced; `arm` may hold the others."""
    text = text.replace("{arm}", arm)
    for key, value in (("namespace", namespace), ("name", name), ("workload", workload)):
        text = text.replace(f"{{{key}}}", value)
    return text


def check(text: str) -> None:
    """Raises ValueError where `text` with its placeholders can be no selector."""
    unknown = [word for word in _PLACEHOLDER.findall(text) if word not in _KNOWN]
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} is no placeholder; there are {', '.join(f'{{{w}}}' for w in _KNOWN)}")
    split(fill(text, namespace="x", name="x", workload="x", arm='arm="x"'))
