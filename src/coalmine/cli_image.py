"""From a built Bento to a signed image, and what a forge asks of a push: `coalmine image ...` and `coalmine check`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coalmine import output
from coalmine.errors import BadInput
from coalmine.settings import Settings, load

if TYPE_CHECKING:
    from coalmine.records import Release
    from coalmine.release.publish import Target

image_app = typer.Typer(help="A release as an image: built, pushed, listed, signed.", no_args_is_help=True)

_WANTED = "a release id, a version's number, `latest`; or coalmine, steps, airflow, mlflow, nginx"
Wanted = Annotated[str, typer.Argument(help=_WANTED)]
With = Annotated[str, typer.Option("--with", help="buildah, podman or docker; default: the first that is installed")]
Insecure = Annotated[
    bool, typer.Option("--insecure-registry", help="the registry has no certificate that is trusted: for trials only")
]
PrivateKey = Annotated[Path, typer.Option(help="cosign's private key; its password in COSIGN_PASSWORD")]
PublicKey = Annotated[Path, typer.Option(help="the public half of the key that images are signed with")]
# Of `release`, in a cluster.
Env = Annotated[str, typer.Option(help="an environment of a cluster; default: this machine's own")]
ByDigest = Annotated[str, typer.Option(help="of a cluster: <registry>/<name>@sha256:<digest>; default: as pushed")]
LookFirst = Annotated[Path | None, typer.Option("--key", help="of a cluster: first look whether it signed the image")]
Remote = Annotated[str, typer.Option(help="push there; default: `coalmine`, for a cluster `origin`")]
Branch = Annotated[str, typer.Option(help="push to this branch instead of main, for a pull request")]


def _settings(context: typer.Context) -> Settings:
    given: dict[str, Any] = context.find_root().params
    return load(project=given.get("project"), state=given.get("state"))


@image_app.command("build")
def build(
    context: typer.Context,
    wanted: Wanted,
    program: With = "",
    base: Annotated[str, typer.Option(help="the base image, by digest if the build is to be repeatable")] = "",
    wheel: Annotated[Path | None, typer.Option(help="Coalmine's wheel, where the Bento carries none")] = None,
) -> None:
    """Build the image of a release from its Bento, or one of Coalmine's own; says its layers and their sizes."""
    from coalmine.release.image import find
    from coalmine.steps import image as steps

    here = _settings(context)
    of, builder = steps.subject(here, wanted), find(program)
    steps.build(here, of, builder=builder, base=base, wheel=wheel)
    layers = builder.layers(of.tag)
    rows = [f"  {layer.size / 1e6:8.1f} MB  {layer.name}" for layer in layers]
    total = sum(layer.size for layer in layers)
    found = {"image": of.tag, "bytes": total, "layers": layers}
    output.show(found, lines=[f"{of.tag}  {total / 1e6:.1f} MB in {len(layers)} layers", *rows])


@image_app.command("push")
def push(
    context: typer.Context,
    wanted: Wanted,
    registry: Annotated[str, typer.Option(help="where to, for example ghcr.io/acme; the model's name is appended")],
    program: With = "",
    insecure: Insecure = False,
) -> None:
    """Push a built image; prints the name by digest, which `release` then writes."""
    from coalmine.release.image import find
    from coalmine.steps import image as steps

    here = _settings(context)
    of = steps.subject(here, wanted)
    made = steps.push(here, of, builder=find(program), registry=registry, insecure=insecure)
    output.show({"image": made.repository, "digest": made.digest, "name": str(made)}, lines=[str(made)])


@image_app.command("sbom")
def sbom(context: typer.Context, wanted: Wanted, insecure: Insecure = False) -> None:
    """List all that is in a pushed image (SPDX, JSON), by syft; `sign` puts the list beside the image."""
    from coalmine.release import image as images
    from coalmine.steps import image as steps

    here = _settings(context)
    of = steps.subject(here, wanted)
    into = images.bill(here, of.name, of.version)
    count = steps.materials(images.kept(here, of.name, of.version), into=into, insecure=insecure)
    output.show({"sbom": str(into), "packages": count}, lines=[f"{count} packages  {into}"])


@image_app.command("sign")
def sign(context: typer.Context, wanted: Wanted, key: PrivateKey, insecure: Insecure = False) -> None:
    """Sign a pushed image as its release, with its lineage, and its list of packages where `sbom` has made one."""
    from coalmine.release import image as images
    from coalmine.release.signature import Cosign
    from coalmine.steps import image as steps

    here = _settings(context)
    of = steps.subject(here, wanted)
    image, bill = images.kept(here, of.name, of.version), images.bill(here, of.name, of.version)
    cosign = Cosign(insecure)
    cosign.sign(image, key=key, facts=of.facts)
    if bill.is_file():
        cosign.attest(image, key=key, bill=bill)
    told = "signed, with its list of packages" if bill.is_file() else "signed"
    output.show({"image": str(image), "sbom": bill.is_file(), **of.facts}, lines=[f"{image} {told}"])


@image_app.command("verify")
def verify(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(help="<registry>/<name>@sha256:<digest>, or a release pushed from here")],
    key: PublicKey,
    insecure: Insecure = False,
) -> None:
    """Say as what an image is signed; exit 3 where it is not signed by this key."""
    from coalmine.release import image as images
    from coalmine.release.signature import Cosign
    from coalmine.steps import image as steps

    if "@" in wanted:
        image = images.Image.parse(wanted)
    else:
        here = _settings(context)
        of = steps.subject(here, wanted)
        image = images.kept(here, of.name, of.version)
    cosign = Cosign(insecure)
    signed = cosign.facts(image, key=key)
    listed = cosign.attested(image, key=key)
    lines = [f"{facts.get('model')} {facts.get('release')}" for facts in signed]
    lines.append("its list of packages is signed too" if listed else "no list of packages is signed")
    output.show({"image": str(image), "signed": signed, "sbom": listed}, lines=lines)


def check(
    old: Annotated[str, typer.Argument(help="main as it is; zeros, or empty: there is none yet")],
    new: Annotated[str, typer.Argument(help="the commit that it is to become")],
    env: Annotated[str, typer.Option(help="the environment that this repository runs")],
    key: PublicKey,
    repository: Annotated[Path, typer.Option(help="a clone with all of main's history")] = Path(),
    insecure: Insecure = False,
) -> None:
    """What a forge asks before it lets main move: release files name signed images and no release in quarantine."""
    from coalmine.release.check import Check, examine
    from coalmine.release.git import Repository
    from coalmine.release.known import Signed
    from coalmine.release.signature import Cosign, Signatures

    # As a hook of the forge's own it sees what is pushed before it is accepted.
    clone = Repository(repository, in_hook="GIT_QUARANTINE_PATH" in os.environ)
    known = Signed(clone, Signatures(Cosign(insecure), key))
    refusals = examine(Check(clone, known, env, overlays_needed=False), old, new)
    words = [{"what": refusal.what, "where": refusal.where, "remedy": refusal.remedy} for refusal in refusals]
    output.show({"refused": words}, lines=[f"refused: {refusal}" for refusal in refusals] or ["nothing to refuse"])
    if refusals:
        raise typer.Exit(refusals[0].exit_code)


def of_cluster(
    here: Settings, wanted: str, *, image: str, key: Path | None, remote: str, branch: str, insecure: bool
) -> tuple[Release | str, Target]:
    """What `release` names in a cluster's release file, and where it pushes that.

    With a key the signature tells the release's lineage, so this also works where the release was not built.
    """
    from coalmine.records import ReleaseId
    from coalmine.release import image as images
    from coalmine.release.ledger import Ledger
    from coalmine.release.publish import FORGE, Target, find
    from coalmine.release.signature import Cosign, lineage, record

    if not image:
        known = find(Ledger(here.database), here.model, wanted)
        found = images.kept(here, here.model, str(known.id))
        if key:
            lineage(Cosign(insecure), found, key=key, model=here.model, release=str(known.id))
        return known, Target(remote or FORGE, branch, found)
    named = images.Image.parse(image)
    if key is None:
        remedy = "name the public half of the key that it was signed with, --key cosign.pub"
        raise BadInput("an image is released by its signature", where="--image", remedy=remedy)
    release = ReleaseId.parse(wanted)
    told = lineage(Cosign(insecure), named, key=key, model=here.model, release=str(release))
    return record(told, release=release), Target(remote or FORGE, branch, named)
