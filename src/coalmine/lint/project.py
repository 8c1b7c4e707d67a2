"""What `coalmine lint` looks at without an argument: each cluster with all its Applications, and the files beside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coalmine.lint.estate import Estate, File
from coalmine.lint.gather import Renderer, cluster, read_file
from coalmine.lint.kustomize import Kustomize, file_of
from coalmine.records import ReleaseId
from coalmine.release.file import ReleaseFile, path, render

_STAND_IN = "sha256:" + "0" * 64
_FOLDERS = ("flagger", "gitops", "nginx", "infra", "pipelines", "bentos", "images", ".github/workflows")
_KINDS = (".yaml", ".yml", ".py", ".toml", ".conf", ".j2", ".txt", ".cfg")
_NAMES = ("Containerfile", "Dockerfile")
_HIDDEN = (".github", ".pulumi")  # looked into all the same
_LARGEST = 1_000_000  # bytes: beyond it a file is data
_ONE_MACHINE = "local"  # the overlay that only `coalmine up` reads


def estates(root: Path, kustomize: Kustomize, missed: list[str]) -> list[Estate]:
    """One for each cluster, one for what no cluster leads to, and one of files. `missed` is given what was left out."""
    with with_releases(root) as tree:
        renderer = Renderer(tree, kustomize, missed)
        clusters = [one.relative_to(tree).as_posix() for one in sorted(tree.glob("gitops/clusters/*"))]
        clusters = [one for one in clusters if file_of(tree / one)]
        alone = [one.relative_to(tree).as_posix() for one in _alone(tree)]
        renderer.ahead([*clusters, *alone])
        found = [cluster(renderer, one) for one in clusters]
        reached = {obj.source for estate in found for obj in estate.objects}
        found += [Estate(renderer.objects(one)) for one in alone if one not in reached]
    return [*found, Estate([], list(files(root)))]


def _alone(tree: Path) -> Iterator[Path]:
    """Overlays of models and of their Canaries, which some cluster may lead to."""
    yield from (one for one in sorted(tree.glob("gitops/apps/*/overlays/*")) if file_of(one))
    for folder in sorted(tree.glob("flagger/*")):
        inner = [one for one in sorted(folder.glob("*")) if file_of(one) and one.name != _ONE_MACHINE]
        yield from inner or ([folder] if file_of(folder) else [])


@contextmanager
def with_releases(root: Path) -> Iterator[Path]:
    """The tree, or a copy of it in which each overlay without a release has one: a first release is linted before it
    is made.
    """
    overlays = [one for one in sorted(root.glob("gitops/apps/*/overlays/*")) if file_of(one)]
    missing = [(one.parts[-3], one.name) for one in overlays if not (root / path(one.parts[-3], one.name)).exists()]
    if not missing:
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="coalmine-lint-") as scratch:
        tree = Path(scratch)
        for folder in ("gitops", "flagger", "nginx"):
            if (root / folder).is_dir():
                shutil.copytree(root / folder, tree / folder, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        for model, env in missing:
            stand_in = tree / path(model, env)
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            image = f"registry.example/{model}"
            release = ReleaseFile(model, env, ReleaseId.parse("m1-0000000"), image=image, digest=_STAND_IN)
            stand_in.write_text(render(release), encoding="utf-8")
        yield tree


def files(root: Path) -> Iterator[File]:
    """The texts that rules look at; rendered objects are not among them."""
    for name in ("pyproject.toml", "requirements.txt"):
        if (root / name).is_file():
            yield from read_file(root / name, name)[1]
    for folder in _FOLDERS:
        for one in sorted((root / folder).rglob("*")):
            shown = one.relative_to(root).as_posix()
            hidden = any(part.startswith(".") and part not in _HIDDEN for part in Path(shown).parts)
            wanted = one.suffix in _KINDS or one.name.endswith(_NAMES) or "/.pulumi/" in shown
            if wanted and not hidden and one.is_file() and one.stat().st_size < _LARGEST:
                yield from read_file(one, shown)[1]
