"""Builds one Bento in a process of its own: `python -m coalmine.steps.bento < order.json`, with BENTOML_HOME set.

BentoML reads its home once for each process, imports the service by the name `service` and leaves it in `sys.modules`:
a second build in the same process, of another commit or in another folder, would get the first one's.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Read {service, name, version, labels, packages, context} from standard input; write the Bento's path."""
    import bentoml.bentos  # noqa: PLC0415 (heavy: nothing at import)

    order = json.load(sys.stdin)
    bento = bentoml.bentos.build(
        order["service"],
        name=order["name"],
        version=order["version"],
        labels=order["labels"],
        include=["*"],
        # Exact versions are given already; locking what they need would ask an index each time.
        python={"packages": order["packages"], "lock_packages": False},
        build_ctx=order["context"],
    )
    json.dump({"path": str(bento.path)}, sys.stdout)


if __name__ == "__main__":
    main()
