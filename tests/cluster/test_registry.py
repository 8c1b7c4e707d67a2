"""The bench's registry gives back, by digest, the very image that was put into it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control import free_port
from cluster.pki import Authority
from cluster.registry import Registry
from coalmine.errors import Broken

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]  # the first run builds the registry

OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path / "r", Authority.at(tmp_path / "pki"), address="127.0.0.1", port=free_port())
    registry.start()
    yield registry
    registry.stop()


def archived(at: Path, *, layer: bytes = b"a layer") -> Path:
    """A whole OCI archive of one small layer."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(kind: str, content: bytes) -> dict[str, object]:
        name = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{name}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{name}", "size": len(content)}

    parts = {"config": blob("config.v1+json", b"{}"), "layers": [blob("layer.v1.tar", layer)]}
    manifest = blob("manifest.v1+json", json.dumps({"schemaVersion": 2, "mediaType": OCI, **parts}).encode())
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    with tarfile.open(at, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return at


def test_an_image_is_served_by_the_digest_that_it_had_in_its_archive(registry: Registry, tmp_path: Path) -> None:
    digest = registry.push(archived(tmp_path / "a.tar"), "sentiment", tag="m7-abc")
    assert registry.digest("sentiment", "m7-abc") == digest
    with registry.client() as client:
        manifest = client.get(f"/v2/sentiment/manifests/{digest}", headers={"accept": OCI})
        assert f"sha256:{hashlib.sha256(manifest.content).hexdigest()}" == digest
        layer = client.get(f"/v2/sentiment/blobs/{manifest.json()['layers'][0]['digest']}")
        assert layer.content == b"a layer"


def test_a_push_repeated_changes_nothing_and_an_unknown_tag_is_none(registry: Registry, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.tar")
    assert registry.push(archive, "sentiment") == registry.push(archive, "sentiment")
    assert registry.digest("sentiment", "no-such-tag") is None


def test_a_layer_that_is_not_what_its_digest_says_is_refused(registry: Registry, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.tar", layer=b"a layer")
    archive.write_bytes(archive.read_bytes().replace(b"a layer", b"another"))
    with pytest.raises(Broken, match="digest"):
        registry.push(archive, "sentiment")


def test_images_are_there_after_a_restart(registry: Registry, tmp_path: Path) -> None:
    digest = registry.push(archived(tmp_path / "a.tar"), "sentiment", tag="kept")
    registry.stop()
    registry.start()
    assert registry.digest("sentiment", "kept") == digest
