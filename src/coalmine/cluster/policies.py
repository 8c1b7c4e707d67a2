"""Each Canary's policy as a file for the judge: `python -m coalmine.cluster.policies --folder DIR`, in its pod.

A model's policy lies in git beside its Canary and reaches the cluster as the ConfigMap `policy` of the Canary's
namespace. It is read by name, every two seconds, and not mounted: the judge's pod cannot know the namespaces that will
be, and a mounted ConfigMap lags by more than the time from a push to the first hook. What cannot be read leaves the
file as it was.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from coalmine.errors import BadInput, CoalmineError, Temporary
from coalmine.files import write_whole
from coalmine.judge.policy import read_policy

CONFIGMAP = "policy"
BASE = PurePosixPath("policy.yaml")
CLUSTER = PurePosixPath("cluster/policy.yaml")  # laid over the base where there is one; its key is cluster.policy.yaml
READY = ".ready"  # exists once all policies were read
EVERY_SECONDS = 2.0
_LOG = logging.getLogger("coalmine.policies")


class Cluster(Protocol):
    """The two questions; see core.Core."""

    def canaries(self) -> list[tuple[str, str]]:
        """Namespace and name of each."""
        ...

    def configmap(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Its data; None where there is none or it may not be read."""
        ...


def flatten(data: Mapping[str, str], *, where: str) -> str:
    """The whole policy in a ConfigMap's data. A broken one is passed on as it is: the judge says what is wrong.

    Raises BadInput where there is neither `policy.yaml` nor `cluster.policy.yaml`.
    """
    top = next((path for path in (CLUSTER, BASE) if _key(path) in data), None)
    if top is None:
        raise BadInput(f"has no {BASE}", where=where, remedy="generate it from flagger/<model>/policy.yaml")

    def read(path: PurePath) -> str:
        if _key(path) not in data:
            raise BadInput("is missing", where=f"{where}: {_key(path)}", remedy="list it in the configMapGenerator")
        return data[_key(path)]

    try:
        return read_policy(top, read=read)[0]
    except BadInput as error:
        _LOG.warning("%s: %s", where, error)
        return data[_key(top)]


def _key(path: PurePath) -> str:
    return str(path).replace("/", ".")


def write_all(cluster: Cluster, folder: Path) -> int:
    """Bring `folder` in line with the cluster; the number of policies. Raises Temporary where the API is silent."""
    canaries = cluster.canaries()
    wanted = {f"{namespace}.{name}.yaml" for namespace, name in canaries}
    for namespace, name in canaries:
        data = cluster.configmap(namespace, CONFIGMAP)
        if data is None:
            continue
        try:
            text = flatten(data, where=f"{namespace}/{CONFIGMAP}")
        except BadInput as error:
            _LOG.warning("%s", error)
            continue
        path = folder / f"{namespace}.{name}.yaml"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
            _LOG.info("%s", path.name)
    for path in folder.glob("*.yaml"):
        if path.name not in wanted:
            path.unlink()
    return len(wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """Until TERM. 2: the client or its rights are missing."""
    reader = argparse.ArgumentParser(prog="python -m coalmine.cluster.policies", description="Policies for the judge.")
    reader.add_argument("--folder", type=Path, required=True, help="the judge's --policies")
    given = reader.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    from coalmine.cluster.core import Core  # noqa: PLC0415 - the client is an extra

    try:
        core = Core()
        while True:
            try:
                write_all(core, given.folder)
                (given.folder / READY).touch()
            except Temporary as error:
                _LOG.warning("%s", error)
            time.sleep(EVERY_SECONDS)
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
