"""A release's image from a real Bento, by the commands that a person would type: built, started, signed, tampered with.

Needs buildah and, of the bench, the Python image, the registry, cosign and syft; no cluster.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster import own_images
from cluster.own_images import UID, Site, free_port
from coalmine.release.file import path
from coalmine.release.git import Repository

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with own_images.site(tmp_path_factory.mktemp("images")) as made:
        yield made


@pytest.fixture(scope="module")
def built(site: Site) -> dict[str, Any]:
    return site.run("image", "build", str(site.release))


@pytest.fixture(scope="module")
def root(site: Site, built: dict[str, Any]) -> Iterator[Path]:
    """The image's files, as a container would see them."""
    container = site.buildah("from", str(built["image"]))
    yield Path(site.buildah("mount", container))
    site.buildah("rm", container)


@pytest.fixture(scope="module")
def pushed(site: Site, built: dict[str, Any]) -> str:
    assert built["image"]
    made = site.run("image", "push", str(site.release), "--registry", site.registry, "--insecure-registry")
    return str(made["name"])


@pytest.fixture(scope="module")
def signed(site: Site, pushed: str) -> str:
    site.run("image", "sbom", str(site.release), "--insecure-registry")
    key = site.keys("own")[0]
    site.run("image", "sign", str(site.release), "--key", key, "--insecure-registry")
    return pushed


def inside(root: Path, words: Sequence[str], *, port: int = 0) -> subprocess.Popen[bytes]:
    """A process in the image, on a read-only root with a /tmp of its own, as its unprivileged user."""
    prepare = (
        f'mount --bind "{root}" "{root}" && mount -o remount,bind,ro "{root}" && mount -t tmpfs tmpfs "{root}/tmp" '
        f'&& mount -t proc proc "{root}/proc" && mount --bind /dev "{root}/dev" && exec "$@"'
    )
    env = {
        "PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": "/opt/coalmine",
        "HOME": "/tmp",
        "BENTOML_HOME": "/tmp/bentoml",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PORT": str(port),
    }
    given = [f"{name}={value}" for name, value in env.items()]
    user = ["chroot", f"--userspec={UID}:{UID}", str(root), "env", "-i", *given, *words]
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", prepare, "sh", *user],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_its_program_answers_as_nobody_in_particular_on_a_read_only_root(site: Site, root: Path) -> None:
    port = free_port()
    serve = ["python", "-m", "coalmine.release.serve", "--bento", "/opt/bento", "--port", str(port)]
    process = inside(root, serve)
    try:
        until = time.monotonic() + 300
        status = 0
        while status != 200 and time.monotonic() < until and process.poll() is None:
            try:
                status = httpx.get(f"http://127.0.0.1:{port}/readyz").status_code
            except httpx.TransportError:
                time.sleep(0.2)
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"text": "good and great"}, timeout=60)
        assert answer.json()["label"] == "positive"
        assert answer.headers["x-coalmine-release"] == str(site.release)
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out.decode()


def test_the_init_container_of_the_pod_can_be_this_image(root: Path, site: Site) -> None:
    words = ["--model=sentiment", "--workload=sentiment", f"--release={site.release}", "--into=/tmp/edge", "--tls=/tls"]
    shell = f"python -m coalmine.edge.pod {' '.join(words)} && cat /tmp/edge/nginx.conf"
    process = inside(root, ["sh", "-c", shell])
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out.decode()
    assert f'"{site.release}"' in out.decode()


def test_no_compiler_and_no_installer_is_left_in_it(root: Path) -> None:
    tools = {"cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "pip", "pip3"}
    found = [
        folder / tool for folder in (root / "usr/bin", root / "usr/local/bin", root / "opt/venv/bin") for tool in tools
    ]
    assert [str(tool) for tool in found if tool.exists()] == []
    assert not list((root / "opt/venv").rglob("site-packages/pip"))


def test_its_configuration_names_its_user_and_its_release(site: Site, built: dict[str, Any]) -> None:
    config = json.loads(site.buildah("inspect", "--type", "image", str(built["image"])))["OCIv1"]["config"]
    assert config["User"] == f"{UID}:{UID}"
    assert config["Labels"]["dev.coalmine.release"] == str(site.release)
    assert config["Labels"]["org.opencontainers.image.revision"].startswith(site.release.sha)


def test_size_and_layers_are_told(built: dict[str, Any]) -> None:
    """The largest part is shared by all releases: packages lie below Coalmine, and the model on top."""
    layers = built["layers"]
    sizes = [layer["size"] for layer in layers]
    assert sum(sizes) == built["bytes"]
    assert sizes[-1] < 5e6, sizes


def test_a_second_push_of_the_same_release_is_the_same_digest(site: Site, pushed: str) -> None:
    again = site.run("image", "push", str(site.release), "--registry", site.registry, "--insecure-registry")
    assert again["name"] == pushed


def test_the_list_of_packages_names_what_is_installed(site: Site, signed: str) -> None:
    assert signed
    listed = json.loads((site.state / "images" / "sentiment" / f"{site.release}.spdx.json").read_text())
    names = {package["name"] for package in listed["packages"]}
    assert {"bentoml", "scikit-learn", "coalmine"} <= names


def test_it_is_verified_as_its_release(site: Site, signed: str) -> None:
    told = site.run("image", "verify", signed, "--key", site.keys("own")[1], "--insecure-registry")
    [facts] = told["signed"]
    assert (facts["release"], facts["model"], facts["run"]) == (str(site.release), "sentiment", "run1")
    assert told["sbom"] is True


def tampered(site: Site, digest: str) -> str:
    """The same image with one more note, pushed beside the signed one: as a thief of its password can."""
    host, repository = site.registry, "sentiment"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    manifest = httpx.get(f"http://{host}/v2/{repository}/manifests/{digest}", headers=accept).json()
    manifest.setdefault("annotations", {})["tampered"] = "yes"
    body = json.dumps(manifest).encode()
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    put = httpx.put(f"http://{host}/v2/{repository}/manifests/tampered", content=body, headers=kind)
    assert put.status_code == http.client.CREATED, put.text
    return put.headers["Docker-Content-Digest"]


def test_what_was_tampered_with_is_refused(site: Site, signed: str) -> None:
    repository, _, digest = signed.partition("@")
    other = f"{repository}@{tampered(site, digest)}"
    told = site.run("image", "verify", other, "--key", site.keys("own")[1], "--insecure-registry", code=3)
    assert "is not signed" in str(told["error"])


def test_another_key_is_no_key(site: Site, signed: str) -> None:
    told = site.run("image", "verify", signed, "--key", site.keys("other")[1], "--insecure-registry", code=3)
    assert "is not signed by this key" in str(told["error"])


def test_a_release_lands_on_the_forge_by_its_signature_and_a_forged_one_does_not(site: Site, signed: str) -> None:
    """`release` writes and pushes the digest; `check` lets it through, and refuses the file with another digest."""
    clone, key = Repository(site.clone), site.keys("own")[1]
    bare = site.folder / "forge.git"
    clone.run("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    clone.run("remote", "set-url", "origin", str(bare))
    overlay = site.clone / "gitops/apps/sentiment/overlays/tried/kustomization.yaml"
    overlay.parent.mkdir(parents=True, exist_ok=True)
    overlay.write_text("kind: Kustomization\n")
    clone.run("add", "--all")
    named = {f"GIT_{who}_{what}": "tester@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clone.attempt("commit", "--quiet", "-m", "an environment", environ=named)
    clone.run("push", "--quiet", "origin", "HEAD:main")
    old = clone.run("rev-parse", "HEAD").strip()
    plain = ("--insecure-registry", "--key", key)
    done = site.run("release", str(site.release), "--env", "tried", "--image", signed, *plain)
    new = str(done["commit"])
    assert Repository(bare, bare=True).commit("main") == new
    assert "run run1" in clone.run("show", "--no-patch", "--format=%B", new)
    at = path("sentiment", "tried")
    assert f'digest: "{signed.partition("@")[2]}"' in str(clone.text(new, at))
    where = ("--env", "tried", "--repository", str(site.clone), *plain)
    assert site.run("check", old, new, *where) == {"refused": []}
    forged = str(clone.text(new, at)).replace(signed.partition("@")[2], tampered(site, signed.partition("@")[2]))
    bad = clone.record(new, [new], "forged", path=at, content=forged, environ=named)
    [refusal] = site.run("check", new, bad, *where, code=3)["refused"]
    assert "is not signed" in refusal["what"]
