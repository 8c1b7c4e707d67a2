"""Where it runs: `coalmine infra ...` looks at a stack of `infra/` before `pulumi up` makes it. Nothing is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output

infra_app = typer.Typer(help="What a stack of infra/ is, costs and must satisfy.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="a stack: infra/Pulumi.<stack>.yaml")]
Folder = Annotated[Path, typer.Option(help="the Pulumi program's folder")]


@infra_app.command("plan")
def plan(stack: Name, folder: Folder = Path("infra")) -> None:
    """Zones, nodes, GPUs, and what they cost by the price list in the repository, at the fewest and the most nodes."""
    from coalmine.infra import config, outline

    found = outline.outline(config.load(folder, stack))
    output.show(found, lines=outline.lines(found))


@infra_app.command("check")
def check(
    stack: Annotated[str, typer.Argument(help="a stack; default: all of them")] = "",
    folder: Folder = Path("infra"),
) -> None:
    """Run the program without engine or cloud and hold what it asks for to the policies; exit 3 with findings."""
    from coalmine.infra import config, policies, rehearsal

    found, said = [], []
    for name in [stack] if stack else config.stacks(folder):
        run = rehearsal.of(folder, name)
        findings = policies.check(run)
        found += [
            {"stack": name, "rule": f.rule, "resource": f.resource, "what": f.what, "remedy": f.remedy}
            for f in findings
        ]
        said += [f"{name}: {f.rule}: {f.resource}: {f.what}\n  remedy: {f.remedy}" for f in findings]
        said.append(f"{name}: {len(run.resources)} resources, {len(policies.RULES)} policies, {len(findings)} findings")
    output.show(found, lines=said)
    if found:
        raise typer.Exit(3)


@infra_app.command("manifests")
def manifests(stack: Name, folder: Folder = Path("infra")) -> None:
    """The Kubernetes objects that the stack makes, as YAML without Secrets' values; Argo CD's are in infra/argocd."""
    from coalmine.infra import manifests as rendered
    from coalmine.infra import rehearsal

    run = rehearsal.of(folder, stack)
    output.show(list(rendered.objects(run)), lines=[rendered.text(run).rstrip()])
