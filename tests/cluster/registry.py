"""The bench's image registry: `distribution` over TLS at the node's address, which pods and manifests know by name.

Images go in by `push` (the archive's own bytes, so that a digest stays what it was) and are pulled by digest.
"""

from __future__ import annotations

import json
import ssl
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx

from cluster.control_daemon import Daemon
from cluster.engines import binary
from cluster.pki import Authority
from coalmine.errors import Broken

NAME = "registry.bench.test"
ADDRESS = "198.18.0.1"
PORT = 5000
READY_SECONDS = 120.0
_CHUNK = 2**20


class Registry:
    """A registry whose state lies in `folder`; `start` and `stop` may be called by different processes."""

    def __init__(self, folder: Path, authority: Authority, *, address: str = ADDRESS, port: int = PORT) -> None:
        self.folder = folder
        self.authority = authority
        self.address = address
        self.port = port
        self.daemon = Daemon("registry", folder)

    @property
    def host(self) -> str:
        """What image names begin with."""
        return f"{NAME}:{self.port}"

    @property
    def direct(self) -> str:
        """The same without its name, for who cannot resolve that."""
        return f"{self.address}:{self.port}"

    def start(self) -> None:
        """Return when it answers. Raises Broken with the log's end if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = (NAME, self.address, "127.0.0.1")
        pair = self.authority.issue("registry", common_name=NAME, hosts=names, folder=self.folder)
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            "http": {
                "addr": f"{self.address}:{self.port}",
                "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
            },
        }
        file = self.folder / "config.yml"
        file.write_text(json.dumps(config, indent=1))  # JSON is YAML
        self.daemon.start([str(binary("registry")), "serve", str(file)])
        self._wait()

    def stop(self) -> None:
        self.daemon.stop()

    def trust(self, folder: Path) -> None:
        """Tell containerd, by its `certs.d` folder, where the name leads and whose certificate answers there."""
        where = f'[host."https://{self.direct}"]\n  capabilities = ["pull", "resolve"]\n'
        for host in (self.host, self.direct):
            at = folder / host
            at.mkdir(parents=True, exist_ok=True)
            (at / "hosts.toml").write_text(
                f'server = "https://{host}"\n\n{where}  ca = "{self.authority.certificate}"\n'
            )

    def client(self) -> httpx.Client:
        """A connection to its HTTP API. Close it after use."""
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        base = f"https://{self.address}:{self.port}"
        return httpx.Client(base_url=base, verify=trust, trust_env=False, timeout=60)

    def push(self, archive: Path, repository: str, *, tag: str = "") -> str:
        """Copy the image of an OCI archive as it is; returns its digest. Raises Broken if a part is refused."""
        with tarfile.open(archive) as tar, self.client() as client:
            index = json.load(_member(tar, "index.json"))
            digest = str(index["manifests"][0]["digest"])
            raw = _member(tar, _blob(digest)).read()
            manifest = json.loads(raw)
            for part in (manifest["config"], *manifest["layers"]):
                _upload(client, repository, part=part, content=_member(tar, _blob(part["digest"])))
            for reference in filter(None, (digest, tag)):
                headers = {"content-type": manifest["mediaType"]}
                answer = client.put(f"/v2/{repository}/manifests/{reference}", content=raw, headers=headers)
                _accepted(answer, 201)
        return digest

    def digest(self, repository: str, tag: str) -> str | None:
        """What a tag names; None if there is none."""
        accept = {"accept": "application/vnd.oci.image.manifest.v1+json"}
        with self.client() as client:
            answer = client.head(f"/v2/{repository}/manifests/{tag}", headers=accept)
        return answer.headers["docker-content-digest"] if answer.status_code == 200 else None

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with self.client() as client:
            while time.monotonic() < deadline:
                self.daemon.check()
                try:
                    if client.get("/v2/").status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                time.sleep(0.05)
        raise Broken(f"the registry does not answer\n{self.daemon.tail()}", where=str(self.daemon.log))


def _upload(client: httpx.Client, repository: str, *, part: dict[str, Any], content: IO[bytes]) -> None:
    digest = part["digest"]
    if client.head(f"/v2/{repository}/blobs/{digest}").status_code == 200:
        return
    begun = client.post(f"/v2/{repository}/blobs/uploads/")
    _accepted(begun, 202)
    where = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
    headers = {"content-type": "application/octet-stream", "content-length": str(part["size"])}
    _accepted(client.put(where, content=_chunks(content), headers=headers), 201)


def _accepted(answer: httpx.Response, wanted: int) -> None:
    if answer.status_code != wanted:
        raise Broken(
            f"{answer.request.method} answered {answer.status_code}: {answer.text[:300]}", where=str(answer.url)
        )


def _chunks(content: IO[bytes]) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK):
        yield chunk


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise Broken(f"{name} is no file in the archive", where=str(tar.name))
    return found
