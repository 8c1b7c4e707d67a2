"""The release file: one kustomize Component that says which release an environment should run.

In a cluster it names the release's image by digest; on one machine, which builds no image, by tag alone. It is written
whole from a dataclass and accepted only if its bytes equal that rendering, so nothing else can hide in it and a diff of
it is always one of two to four lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from coalmine.errors import BadInput
from coalmine.records import ReleaseId

RELEASE = "coalmine.dev/release"
MODEL_VERSION = "coalmine.dev/model-version"
FAULTS = "coalmine.dev/faults"
REMEDY = "let `coalmine release` write it; it is not edited by hand"
LIMIT = (
    1280  # bytes; a rendering has 500 to 700. The YAML parser is quadratic in nesting: longer text could stall a push
)

_HEADER = (
    "# Written whole by `coalmine release` and by healing. Do not edit: a push is accepted only if these bytes\n"
    "# are the rendering of a known release. To go back, release the earlier one or `git revert`.\n"
)
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")  # a DNS label, since Kubernetes names follow it
_FAULTS_LIMIT = 256  # characters; all the faults that there are need half
_NUMBER = r"[0-9][0-9.e+-]*"
_FAULTS = re.compile(rf"[a-z_]+={_NUMBER}(?:,[a-z_]+={_NUMBER})*\Z")
# A registry's host (with a dot, a port or `localhost`, so that nobody guesses one), then lower-case parts.
_HOST = r"(?:localhost(?::[0-9]{1,5})?|[a-z0-9]+(?:[.-]+[a-z0-9]+)*(?:\.[a-z0-9]+|:[0-9]{1,5}))"
_PART = r"[a-z0-9]+(?:[._-]{1,2}[a-z0-9]+)*"
_IMAGE = re.compile(rf"{_HOST}(?:/{_PART})+\Z")
_IMAGE_LIMIT = 255  # characters, as registries have it
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PATH = re.compile(r"gitops/apps/(?P<model>[^/]+)/release/(?P<env>[^/]+)/kustomization\.yaml\Z")


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """What the file says. `faults` is for drills only: a string of `coalmine.release.faults`.

    `image` is a repository in a registry, `digest` its `sha256:<64 hex>`: both in a cluster, neither on one machine.
    """

    model: str
    env: str
    release: ReleaseId
    faults: str = ""
    image: str = ""
    digest: str = ""


def path(model: str, env: str) -> str:
    """Where the file lies in the repository. Raises BadInput for a name that could not be a folder's there."""
    for what, name in (("model", model), ("environment", env)):
        if not _NAME.match(name):
            raise BadInput(
                f"{name!r} is no {what}'s name",
                remedy="use lower-case letters, digits and inner hyphens, 63 at most",
            )
    return f"gitops/apps/{model}/release/{env}/kustomization.yaml"


def locate(at: str) -> tuple[str, str] | None:
    """Model and environment of a path in the repository, or None for a path that is no release file's."""
    match = _PATH.match(at)
    if match is None or not _NAME.match(match["model"]) or not _NAME.match(match["env"]):
        return None
    return match["model"], match["env"]


def render(file: ReleaseFile) -> str:
    """The file's only accepted bytes, ASCII. Raises BadInput for names or faults that YAML could misread."""
    at = path(file.model, file.env)
    if file.faults and (len(file.faults) > _FAULTS_LIMIT or not _FAULTS.match(file.faults)):
        raise BadInput(
            f"faults {file.faults!r} cannot be written",
            where=at,
            remedy='write them as name=number, with commas between: "error_rate=0.05,delay_ms=200"',
        )
    if file.image or file.digest:
        check_image(file.image, file.digest, at=at)
        which = f'    newName: "{file.image}"\n    digest: "{file.digest}"\n'
    else:
        which = f'    newTag: "{file.release}"\n'
    return (
        f"{_HEADER}"
        "apiVersion: kustomize.config.k8s.io/v1alpha1\n"
        "kind: Component\n"
        "images:\n"
        f'  - name: "{file.model}"\n{which}'
        "commonAnnotations:\n"
        f'  {RELEASE}: "{file.release}"\n'
        f'  {MODEL_VERSION}: "{file.release.version}"\n' + (f'  {FAULTS}: "{file.faults}"\n' if file.faults else "")
    )


def check_image(image: str, digest: str, *, at: str) -> None:
    """Raises BadInput unless both are what a manifest can name: a repository with its registry, and a digest."""
    if len(image) > _IMAGE_LIMIT or not _IMAGE.match(image):
        remedy = "name it with its registry and without a tag, as in ghcr.io/acme/sentiment"
        raise BadInput(f"{image!r} is no image's name", where=at, remedy=remedy)
    if not _DIGEST.match(digest):
        raise BadInput(f"{digest!r} is no image's digest", where=at, remedy="sha256: and 64 hexadecimal digits")


def parse(text: str, *, at: str) -> ReleaseFile:
    """Read a release file; `at` is its path in the repository, which names model and environment.

    Raises:
        BadInput: naming the file and the field. Bytes that differ from the rendering but mean the same are read.
    """
    place = locate(at)
    if place is None:
        raise BadInput(
            "is no release file's path", where=at, remedy="gitops/apps/<model>/release/<env>/kustomization.yaml"
        )
    tree = _mapping(_load(text, at), "the file", at)
    if tree.get("kind") != "Component":
        raise BadInput(f"kind: is {tree.get('kind')!r}, must be 'Component'", where=at, remedy=REMEDY)
    notes = _mapping(tree.get("commonAnnotations"), "commonAnnotations", at)
    release = _release(notes, at)
    image, digest = _images(tree.get("images"), place[0], release, at)
    version = notes.get(MODEL_VERSION)
    if version != str(release.version):
        raise BadInput(f"{MODEL_VERSION}: is {version!r}, {release} has '{release.version}'", where=at, remedy=REMEDY)
    faults = notes.get(FAULTS, "")
    if not isinstance(faults, str) or (faults and not _FAULTS.match(faults)):
        raise BadInput(f"{FAULTS}: {faults!r} is no list of faults", where=at, remedy='as in "error_rate=0.05"')
    return ReleaseFile(*place, release, faults, image, digest)


def _load(text: str, at: str) -> object:
    if len(text.encode("utf-8", "surrogatepass")) > LIMIT:
        raise BadInput(f"is longer than {LIMIT} bytes", where=at, remedy=REMEDY)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise BadInput(f"{line}no YAML: {problem}", where=at, remedy=REMEDY) from error
    except (ValueError, RecursionError) as error:  # an impossible date; brackets nested without end
        raise BadInput(f"no YAML: {type(error).__name__}", where=at, remedy=REMEDY) from error


def _mapping(value: object, name: str, at: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadInput(f"{name}: is no mapping", where=at, remedy=REMEDY)
    return value


def _release(notes: dict[str, object], at: str) -> ReleaseId:
    value = notes.get(RELEASE)
    if not isinstance(value, str):
        raise BadInput(f"{RELEASE}: is missing or no text", where=at, remedy=REMEDY)
    try:
        return ReleaseId.parse(value)
    except BadInput as error:
        raise BadInput(f"{RELEASE}: {error.what}", where=at, remedy=error.remedy) from error


def _images(value: object, model: str, release: ReleaseId, at: str) -> tuple[str, str]:
    """Image and digest, both empty where a tag is named."""
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise BadInput("images: must hold exactly one image", where=at, remedy=REMEDY)
    one = value[0]
    if one.get("name") != model:
        raise BadInput(f"images[0].name: is {one.get('name')!r}, must be {model!r}", where=at, remedy=REMEDY)
    if "newName" in one or "digest" in one:
        try:
            check_image(str(one.get("newName", "")), str(one.get("digest", "")), at=at)
        except BadInput as error:
            raise BadInput(f"images[0]: {error.what}", where=at, remedy=error.remedy) from error
        if "newTag" in one:
            raise BadInput("images[0].newTag: stands beside a digest", where=at, remedy=REMEDY)
        return str(one["newName"]), str(one["digest"])
    if one.get("newTag") != str(release):
        raise BadInput(
            f"images[0].newTag: is {one.get('newTag')!r}, but {RELEASE} is {str(release)!r}",
            where=at,
            remedy=REMEDY,
        )
    return "", ""
