"""What a forge's workflows call: `coalmine forge ...`. A person can call it too, before opening a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output

forge_app = typer.Typer(help="What a forge's workflows check and show.", no_args_is_help=True)

Base = Annotated[str, typer.Argument(help="the commit that the change is compared with; zeros: there is none")]
Head = Annotated[str, typer.Argument(help="the commit with the change")]
Where = Annotated[Path, typer.Option(help="the repository's clone, with its history")]


@forge_app.command("writers")
def writers(
    base: Base,
    head: Head,
    repository: Where = Path(),
    proposed: Annotated[
        bool, typer.Option("--proposed", help="believe none who may only push: it is not on main")
    ] = False,
) -> None:
    """Refuse commits that change release files and are not by those whom .github/release-writers lists at the base."""
    from coalmine.forge import writers as rules
    from coalmine.release.git import Repository

    refused = list(rules.refusals(Repository(repository), base, head, proposed=proposed))
    if refused:
        output.show([str(one) for one in refused], lines=[str(one) for one in refused])
        raise typer.Exit(refused[0].exit_code)
    output.show([], lines=["release files are as their writers left them"])


@forge_app.command("diff")
def diff(
    base: Base,
    head: Head,
    repository: Where = Path(),
    kustomize: Annotated[str, typer.Option(help="the kustomize to build with")] = "kustomize",
    out: Annotated[Path | None, typer.Option(help="write the Markdown here as well, cut to a comment's length")] = None,
) -> None:
    """What changes in all that is rendered between two commits, as Markdown; exit 2 where something renders no more."""
    from coalmine.forge import diff as diffs
    from coalmine.forge import rendered
    from coalmine.release.git import Repository

    program, clone = rendered.program(kustomize), Repository(repository)
    old, new = (rendered.at(clone, revision, kustomize=program) for revision in (base, head))
    found, failed = list(diffs.differences(old, new)), diffs.failures(old, new)
    if out is not None:
        out.write_text(diffs.markdown(found, failed), encoding="utf-8")
    whole = diffs.markdown(found, failed, limit=diffs.SUMMARY)
    output.show([{"root": one.root, "object": one.title, "how": one.how} for one in found], lines=[whole])
    if any(not one.old for one in failed):
        raise typer.Exit(2)
