"""Two tenants where git has one: the second is the first one's folders under another name, as a newcomer makes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from manifests.rendered import Object, build, of_cluster

FIRST, SECOND = "sentiment", "mood"
FOLDERS = ("gitops/tenants/{}", "gitops/clusters/bench/tenants/{}", "gitops/apps/{}", "flagger/{}")


def second(root: Path, *, name: str = SECOND) -> None:
    """Add it to a tree that `rendered.tree` made. Safe to repeat."""
    for folder in FOLDERS:
        copy = root / folder.format(name)
        shutil.copytree(root / folder.format(FIRST), copy, dirs_exist_ok=True)
        for file in copy.rglob("*.yaml"):
            file.write_text(file.read_text(encoding="utf-8").replace(FIRST, name), encoding="utf-8")


def both(root: Path) -> list[Object]:
    """All that git brings into the bench's cluster, with two tenants and a model of each."""
    second(root)
    more = (f"gitops/clusters/bench/tenants/{SECOND}", f"gitops/apps/{SECOND}/overlays/bench")
    return [*of_cluster(root, "bench"), *(one for folder in more for one in build(root, folder))]
