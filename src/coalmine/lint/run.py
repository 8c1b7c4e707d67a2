"""Every rule over an estate, less what is silenced with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from coalmine.lint.estate import Estate, File, Obj
from coalmine.lint.rule import Finding, Hit, Rule
from coalmine.lint.rules import RULES
from coalmine.lint.silence import Silenced
from coalmine.lint.tree import written

TRACKING = "argocd.argoproj.io/tracking-id"


def lint(objects: Iterable[Mapping[str, Any]], *, files: Iterable[File] = (), whole: bool = False) -> list[Finding]:
    """What the rules find in plain objects (parsed manifests) and texts. `whole`: nothing else runs in the cluster, so
    that a reference to what is not there is a finding; otherwise only where others of its kind and namespace are.
    """
    estate = Estate(list(_synced([Obj(data) for data in objects if data])), list(files), whole=whole)
    return [made(rule, hit) for rule, hit in search(estate)]


def _synced(objects: list[Obj]) -> Iterator[Obj]:
    """With the Application that each says is syncing it, by Argo CD's own annotation."""
    apps = {obj.name: obj for obj in objects if obj.kind == "Application"}
    for obj in objects:
        app = apps.get(str(obj.annotations.get(TRACKING, "")).partition(":")[0])
        yield replace(obj, app=app) if app else obj


def search(estate: Estate) -> list[tuple[Rule, Hit]]:
    """Hits in the rules' order, each once, and what is wrong with the silencing itself."""
    silenced = Silenced(estate, RULES)
    found: list[tuple[Rule, Hit]] = []
    for rule in RULES.values():
        found += [(rule, hit) for hit in rule.check(estate) if not silenced.covers(rule, hit)]
    found += silenced.wrong()
    once = {(rule.id, id(hit.obj), id(hit.file), hit.path, hit.line, hit.what): (rule, hit) for rule, hit in found}
    return sorted(once.values(), key=lambda pair: pair[0].id)


def made(rule: Rule, hit: Hit, *, file: str = "", line: int = 0, column: int = 1) -> Finding:
    """A hit as its reader sees it. `file` and `line`: where the object's field is written, if that is known."""
    obj = hit.obj
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        what=hit.what,
        reason=rule.reason,
        remedy=rule.remedy,
        kind=obj.kind if obj else "",
        namespace=obj.namespace if obj else "",
        name=obj.name if obj else "",
        field=written(hit.path),
        file=hit.file.path if hit.file else file,
        line=hit.line if hit.file else line,
        column=column,
    )
