"""Each image of the bench starts as the user that manifests give it. The versions are those that manifests name."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest

from cluster import images
from coalmine.errors import BadInput

STARTS = [
    ("pause", 65535, "/pause -v", "3.10"),
    ("coredns", 65532, "/coredns -version", "CoreDNS-1.14.0"),
    ("python", 10001, "python -c 'import ssl, sys; print(sys.version)'", "3.11."),
    ("python", 10001, "pip --version", "python 3.11"),
    ("flagger", 10001, "./flagger -version", "1.44.0"),
    ("flagger", 10001, "wget --version", "GNU Wget"),
    ("envoy-gateway", 65532, "envoy-gateway version", "v1.9.1"),
    ("envoy", 65532, "envoy --version", "/1.39.1/"),
    ("redis", 999, "redis-server --version", "v=7."),
    ("prometheus", 10001, "/bin/prometheus --version", "version 3.16.0"),
    ("argocd", 999, "argocd version --client --short", "v3.5.7"),
    ("argocd", 999, "argocd-repo-server --help", "Repository Server"),  # by its name; it says no version
    ("argocd", 999, "git --version", "git version 2."),
    ("argocd", 999, "helm version --short", "v3.22.0"),
    ("argocd", 999, "kustomize version", "v5.8.1"),
    ("argocd", 999, "gpg --version", "GnuPG"),
]


@pytest.mark.cluster
@pytest.mark.timeout(1800)  # the first run builds an engine and the image
@pytest.mark.parametrize(("name", "user", "command", "said"), STARTS, ids=[f"{s[0]}: {s[2]}" for s in STARTS])
def test_its_program_says_the_version_that_manifests_name(name: str, user: int, command: str, said: str) -> None:

    assert said in images.run(name, *shlex.split(command), user=user)


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_build_of_ones_own_finds_the_bases_and_trusts_what_this_machine_trusts(tmp_path: Path) -> None:
    host = Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()
    (tmp_path / "Containerfile").write_text(f"FROM {images.PYTHON}\nRUN sha256sum /etc/ssl/certs/ca-certificates.crt\n")
    environment = os.environ | images.environment(images.PYTHON)
    line = ["buildah", "build", "--tag", "localhost/trial", str(tmp_path)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert hashlib.sha256(host).hexdigest() in done.stdout, done.stderr
    images.buildah("rmi", "localhost/trial")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_an_archive_carries_the_upstream_name() -> None:
    with tarfile.open(images.image("pause")) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        assert images.named("pause").names[0] in index.read().decode()


def test_every_image_has_a_containerfile_and_every_name_is_of_one_image() -> None:
    assert all((images.RECIPES / image.folder / "Containerfile").is_file() for image in images.IMAGES)
    names = [name for image in images.IMAGES for name in image.names]
    assert len(names) == len(set(names))


def test_a_name_that_no_image_has_is_told_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="one of: debian pause"):
        images.named("docker.io/library/nothing:1")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_what_containerd_has_already_is_not_imported_again() -> None:
    """`up` after `up` takes seconds: half a gigabyte of archives is not read again."""
    there: dict[str, str] = {}
    said: list[str] = []

    def ctr(*words: str) -> str:
        said.append(words[1])
        if words[1] == "import":
            there[images.named("pause").names[0]] = images.manifest(images.image("pause"))
        return "\n".join(["REF TYPE DIGEST SIZE", *(f"{ref} oci {digest} 1 MiB" for ref, digest in there.items())])

    images.load(["pause"], ctr=ctr)
    images.load(["pause"], ctr=ctr)
    assert said == ["list", "import", "list"]
