"""The difference of two renderings, object by object, as Markdown for a pull request. Secrets' values are not shown."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from coalmine.forge.rendered import Rendered

LIMIT = 60_000  # characters; a comment on GitHub takes 65,536
SUMMARY = 900_000  # a job's summary takes 1 MiB
_HASH = re.compile(r"-[24-9bcdfghkmt]{10}\Z")  # what a generator appends: kustomize's own alphabet
_CONTEXT = 3
_HIDDEN = ("data", "stringData")


@dataclass(frozen=True, slots=True)
class Difference:
    """One object of one root: `lines` are a unified diff without its head."""

    root: str
    title: str  # Kind namespace/name
    how: str  # added, removed, changed
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A root that kustomize refuses at the head; `text` is what it says. `old`: it did so at the base too, as an
    overlay does whose first release is yet to come.
    """

    root: str
    text: str
    old: bool = False


def differences(old: Mapping[str, Rendered], new: Mapping[str, Rendered]) -> Iterator[Difference]:
    """All that differs, by root and object. A root that did not render stands for none."""
    for root in sorted({*old, *new}):
        before, after = (_objects(side.get(root, Rendered())) for side in (old, new))
        for title in sorted({*before, *after}):
            a, b = before.get(title, ""), after.get(title, "")
            shown_a, shown_b = _shown(a), _shown(b, before=a)
            if a != b:
                lines = difflib.unified_diff(shown_a.splitlines(), shown_b.splitlines(), lineterm="", n=_CONTEXT)
                how = "added" if not a else "removed" if not b else "changed"
                yield Difference(root, title, how, tuple(lines)[2:])


def failures(old: Mapping[str, Rendered], new: Mapping[str, Rendered]) -> tuple[Failure, ...]:
    """What does not render at the head."""
    before = {root for root, one in old.items() if one.error}
    return tuple(Failure(root, one.error, root in before) for root, one in sorted(new.items()) if one.error)


def markdown(found: list[Difference], failed: tuple[Failure, ...], *, limit: int = LIMIT) -> str:
    """A comment of at most `limit` characters: failures, one line for each object, then diffs as far as they fit."""
    parts = ["## Rendered manifests\n"]
    for one in failed:
        told = "did not render before, and does not now" if one.old else "does not render any more"
        parts.append(f"\n**`{one.root}` {told}:**\n{_fenced(one.text.splitlines())}")
    if not found:
        return "".join((*parts, "\nNothing that is rendered changes.\n"))[:limit]
    counts: dict[str, int] = defaultdict(int)
    for difference in found:
        counts[difference.how] += 1
    summary = ", ".join(f"{counts[how]} {how}" for how in ("added", "changed", "removed") if counts[how])
    parts.append(f"\n{summary}.\n")
    size, left = sum(map(len, parts)), 0
    for root in dict.fromkeys(one.root for one in found):
        for part in (f"\n### `{root}`\n", *(_block(one) for one in found if one.root == root)):
            if size + len(part) > limit - 100:
                left += part.startswith("<details>")
                continue
            parts.append(part)
            size += len(part)
    if left:
        parts.append(f"\n{left} more objects change than fit in here: see the job's summary.\n")
    return "".join(parts)


def _block(one: Difference) -> str:
    summary = f"{one.how} <code>{_escaped(one.title)}</code>"
    return f"<details><summary>{summary}</summary>\n{_fenced(list(one.lines), kind='diff')}</details>\n"


def _fenced(lines: list[str], *, kind: str = "") -> str:
    """A fence longer than any in the text, which comes from whoever opened the pull request."""
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n" + "\n".join((f"{fence}{kind}", *lines, fence)) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


def _objects(rendered: Rendered) -> dict[str, str]:
    """Text by title. A generated name is known without its hash, so that a changed ConfigMap is one change."""
    found: dict[str, str] = {}
    for text in rendered.texts:
        made = yaml.safe_load(text)
        if not isinstance(made, dict):
            continue
        head = made.get("metadata") or {}
        kind, name = str(made.get("kind")), str(head.get("name"))
        plain = _HASH.sub("", name) if kind in {"ConfigMap", "Secret"} else name
        where = f"{head['namespace']}/" if head.get("namespace") else ""
        title = f"{kind} {where}{plain}"
        found[title if title not in found else f"{kind} {where}{name}"] = text
    return found


def _shown(text: str, *, before: str | None = None) -> str:
    """The text; a Secret's values only as whether they are those of `before`."""
    made = yaml.safe_load(text) if text else None
    if not isinstance(made, dict) or made.get("kind") != "Secret":
        return text
    theirs = yaml.safe_load(before) if before else {}
    for field in _HIDDEN:
        old = theirs.get(field) or {}
        for key, value in (made.get(field) or {}).items():
            made[field][key] = "*** (another value)" if key in old and old[key] != value else "***"
    return str(yaml.safe_dump(made, sort_keys=False))
