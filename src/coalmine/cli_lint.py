"""`coalmine lint`: the traps that files can show, before a cluster shows them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coalmine import output
from coalmine.errors import BadInput

if TYPE_CHECKING:
    from coalmine.lint import Finding
    from coalmine.lint.estate import Estate

Paths = Annotated[list[str] | None, typer.Argument(help="folders with a kustomization, files, or - for a YAML stream")]
Program = Annotated[str, typer.Option("--kustomize", help="the program that renders; default: on the PATH")]
Explain = Annotated[str, typer.Option(help="a rule's id: say all about it, and lint nothing")]
Sarif = Annotated[bool, typer.Option("--sarif", help="print SARIF 2.1.0, for a forge")]
Whole = Annotated[bool, typer.Option("--whole", help="what is given is all that runs: a name not in it is nowhere")]


def lint(
    context: typer.Context,
    paths: Paths = None,
    *,
    kustomize: Program = "",
    explain: Explain = "",
    sarif: Sarif = False,
    whole: Whole = False,
) -> None:
    """Find traps in manifests, and in the files beside them.

    Without an argument: each cluster in gitops/clusters with all that its
    Applications lead to, the overlays and Canaries that no cluster leads to,
    and policies, release files, nginx templates, workflows, pipelines and
    Pulumi programs. Exit 0: nothing found, 3: findings, 2: something cannot
    be read, 4: no kustomize.

    Example: kustomize build my/overlay | coalmine lint -
    """
    from coalmine.lint import RULES, told

    if explain:
        if explain not in RULES:
            raise BadInput(f"there is no rule {explain}", where="--explain", remedy=f"one of {', '.join(RULES)}")
        rule = RULES[explain]
        shown = {
            name: getattr(rule, name)
            for name in ("id", "title", "severity", "reason", "remedy", "source", "bad", "good")
        }
        output.show(shown, lines=told.explained(rule))
        return
    root = _root(context.find_root().params.get("project"))
    findings = _findings(paths or [], root, kustomize, whole=whole)
    if sarif:
        sys.stdout.write(json.dumps(told.sarif(findings, RULES, _version()), indent=1) + "\n")
    else:
        output.show(findings, lines=told.lines(findings, RULES))
    if findings:
        raise typer.Exit(3)


def _root(given: Path | None) -> Path:
    """What paths are relative to: as given, else the nearest folder upward that holds manifests or is a repository."""
    here = (given or Path()).resolve()
    above = (
        [] if given else [one for one in (here, *here.parents) if (one / "gitops").is_dir() or (one / ".git").exists()]
    )
    return next(iter(above), here)


def _findings(paths: Sequence[str], root: Path, program: str, *, whole: bool) -> list[Finding]:
    """Sorted by rule, each once, whatever number of overlays shows it."""
    from coalmine.lint import run
    from coalmine.lint.places import Places

    places = Places(root)
    found: dict[Finding, None] = {}
    for estate in _given(paths, root, program, whole=whole) if paths else _project(root, program):
        for rule, hit in run.search(estate):
            file, line = places.of(hit.obj, hit.path) if hit.obj else ("", 0)
            found[run.made(rule, hit, file=file, line=line)] = None
    return sorted(found, key=lambda one: (one.rule, one.file, one.line, one.what))


def _project(root: Path, program: str) -> list[Estate]:
    from coalmine.lint import kustomize, project

    missed: list[str] = []
    found = project.estates(root, kustomize.find(program), missed)
    for sentence in missed:
        output.tell(f"coalmine: {sentence}")
    return found


def _given(paths: Sequence[str], root: Path, program: str, *, whole: bool) -> Iterator[Estate]:
    """All of it as one."""
    from coalmine.lint import gather, kustomize
    from coalmine.lint.estate import Estate, File, Obj

    objects: list[Obj] = []
    files: list[File] = []
    for given in paths:
        path = Path(given)
        if given == "-":
            objects += [Obj(one, source="") for one in gather.parse(sys.stdin.read(), "standard input")]
        elif path.is_dir():
            if kustomize.file_of(path) is None:
                raise BadInput(
                    "has no kustomization", where=given, remedy="name a folder that kustomize builds, or files"
                )
            renderer = gather.Renderer(root, kustomize.find(program))
            objects += renderer.objects(_shown(path, root))
            for sentence in renderer.missed:
                output.tell(f"coalmine: {sentence}")
        else:
            more, texts = gather.read_file(path, _shown(path, root))
            objects += more
            files += texts
    yield Estate(objects, files, whole=whole)


def _shown(path: Path, root: Path) -> str:
    """Relative to the project where it lies in it."""
    whole = path.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)


def _version() -> str:
    from importlib.metadata import version

    return version("coalmine")
