"""A model of one's own: what `coalmine new` writes passes this project's checks and goes all the way, as documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.engines import binary
from coalmine.local import up
from coalmine.local.scene import free_base
from coalmine.new.names import LONGEST
from coalmine.settings import load
from e2e.snippets import Shell, blocks
from e2e.test_docs import Reader

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-model.md"
NAME = "delivery"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def clone(into: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(into)], check=True)
    return into


def environment() -> dict[str, str]:
    """A reader's: the programs of this environment, a name for git, and no setting of the tests' own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COALMINE_")}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "A reader", f"GIT_{who}_EMAIL": "reader@localhost"}
    return env | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Has typed all of the page."""
    checkout = clone(tmp_path_factory.mktemp("new") / "checkout")
    env = environment() | {"COALMINE_PORT_BASE": str(free_base(25443))}
    named = {"COALMINE_MODEL": NAME, "COALMINE_STATE": f".coalmine/{NAME}"}
    settings = load(project=checkout, environ=env | named)
    shell = Shell(checkout, env)
    try:
        someone = Reader(settings, env, shell)
        for block in blocks(PAGE, "console"):
            someone.type(block)
        yield someone
    finally:
        shell.close()
        up.down(settings)


def test_the_page_leads_from_nothing_to_a_release_and_back(reader: Reader) -> None:
    """Generated, tested, gated, served by nginx over TLS, corrected, and learnt from that correction."""
    assert "10 passed" in reader.said("python -m pytest")
    assert reader.said("coalmine evaluate").startswith("passed\n")
    answer = json.loads(reader.said("cat answer.json"))
    assert answer["release"].startswith("m1-")
    assert 10 < answer["value"] < 30  # 5 + 3 * 4 km + 0.4 * 2 kg, and some minutes of chance
    assert '"already":false' in reader.said(
        "curl --silent --cacert .coalmine/delivery/tls/ca.pem https://localhost:8443/feedback"
    )
    learnt = reader.typed[-2]
    assert learnt[0] == "coalmine collect"
    assert "1 rows from 1 votes" in learnt[2]


def test_a_record_that_is_not_allowed_is_refused_by_its_field(reader: Reader) -> None:
    """`fields.yaml` is what the service takes: here through the arm's own module, the runtime is down by now."""
    code, said = reader.shell.run(
        "python -c 'from pathlib import Path; from coalmine.release import fields; "
        f'fields.read(Path("bentos/{NAME}/fields.yaml")).items({{"distance_km": -1}})\''
    )
    assert code == 1
    assert "distance_km: not between 0 and 200" in said


def test_what_is_written_passes_this_projects_checks(tmp_path: Path) -> None:
    """Ruff, its formatter, mypy as strict as here, `coalmine lint`, and its own tests; for labels as for a number."""
    checkout, env = clone(tmp_path / "checkout"), environment()
    names = {"late": "classification", "a" * LONGEST: "regression"}
    written: list[str] = []
    for name, task in names.items():
        made = run(checkout, env, "coalmine", "--json", "new", name, "--task", task)
        written += [at for at in json.loads(made)["written"] if at.endswith(".py")]
    run(checkout, env, "ruff", "check", *written)
    run(checkout, env, "ruff", "format", "--check", *written)
    run(checkout, env, "mypy", "--no-error-summary", *written)
    run(checkout, env, "coalmine", "lint", "--kustomize", str(binary("kustomize")))
    run(checkout, env, "python", "-m", "pytest", "-q", *(at for at in written if at.startswith("tests/")))


def run(folder: Path, env: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
