"""What the documentation tells a reader to type does what it says, in a fresh clone with a runtime of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coalmine.local import up
from coalmine.local.scene import free_base
from coalmine.release.ledger import Ledger
from coalmine.settings import Ports, Settings, load
from e2e.snippets import Block, Shell, blocks

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "docs" / "how-to" / "feedback-client.md"
LAST = "coalmine down"  # the tutorial's end, typed by the last test

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(slots=True)
class Reader:
    """Somebody at a shell, whose ports are others than the page's."""

    settings: Settings
    env: dict[str, str]
    shell: Shell
    typed: list[tuple[str, int, str]] = field(default_factory=list)

    def here(self, text: str) -> str:
        mine = self.settings.ports.model_dump()
        ports = {str(usual): str(mine[name]) for name, usual in Ports().model_dump().items()}
        return re.sub(r"\b8[0-9]{3}\b", lambda found: ports.get(found[0], found[0]), text)

    def type(self, block: Block) -> None:
        """Type a block's commands; each must end with 0, or the block with what its note says."""
        wanted = int(block.note.removeprefix("fails: ")) if block.note.startswith("fails: ") else 0
        for command in block.commands:
            code, said = self.shell.run(self.here(command))
            self.typed.append((command, code, said))
            assert code == wanted, f"$ {command}\n{said}"
        if block.note.startswith("until: "):
            self.wait(block.note.removeprefix("until: "))

    def wait(self, outcome: str, *, seconds: float = 120) -> None:
        """Until the newest attempt has ended like this, and git, alias and report are in line with it."""
        ledger, model = Ledger(self.settings.database), self.settings.model
        attempt = max((e.attempt for e in ledger.closings(model)), default=0)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            still = {e.attempt for e in ledger.closings(model, unfinished=True)}
            done = [e for e in ledger.closings(model) if e.attempt not in still and e.attempt == self.expected]
            if done:
                assert done[0].outcome == outcome, done[0].reason
                return
            time.sleep(0.2)
        raise AssertionError(f"not {outcome} within {seconds} s; the last attempt was {attempt}")

    @property
    def expected(self) -> int:
        """Each accepted `coalmine release` so far began one attempt."""
        return sum(command.startswith("coalmine release") and code == 0 for command, code, _ in self.typed)

    def said(self, command: str) -> str:
        """The output of the last command that begins like this."""
        return next(said for typed, _, said in reversed(self.typed) if typed.startswith(command))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Has followed the tutorial up to its last section."""
    checkout = tmp_path_factory.mktemp("docs") / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("COALMINE_ST")}
    env |= {"COALMINE_PORT_BASE": str(free_base(23443)), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "A reader", f"GIT_{who}_EMAIL": "reader@localhost"}
    settings = load(project=checkout, environ=env)
    shell = Shell(checkout, env)
    try:
        someone = Reader(settings, env, shell)
        for block in blocks(ROOT / "docs" / "tutorial.md", "console"):
            if not block.note.startswith("not run: ") and LAST not in block.text:
                someone.type(block)
        yield someone
    finally:
        shell.close()
        up.down(settings)


def test_the_tutorial_shows_what_it_says(reader: Reader) -> None:
    """Refused before a release, promoted, rolled back and healed, quarantined, reported."""
    assert "heal: sentiment back to m2-" in reader.said("git log -1 coalmine/main")
    assert "is quarantined since attempt 3" in reader.said("coalmine release 1")
    assert "was rolled back" in reader.said("coalmine report")
    assert '"already":false' in reader.said(
        "curl --silent --cacert .coalmine/tls/ca.pem https://localhost:8443/feedback"
    )
    assert Ledger(reader.settings.database).primary("sentiment") is not None


def test_the_curl_client_predicts_and_votes(reader: Reader) -> None:
    """As documented, word for word."""
    for block in blocks(CLIENTS, "console"):
        reader.type(block)
    assert '"already":false' in reader.typed[-1][2]


def test_the_python_client_predicts_and_votes(reader: Reader) -> None:
    """As documented, word for word."""
    client, *_ = blocks(CLIENTS, "python")
    done = subprocess.run(
        [sys.executable, "-c", reader.here(client.text)],
        cwd=reader.settings.project,
        env=reader.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'already': False" in done.stdout


def test_the_javascript_client_predicts_and_votes(reader: Reader, tmp_path: Path) -> None:
    """As documented, word for word."""
    client, *_ = blocks(CLIENTS, "javascript")
    (tmp_path / "vote.mjs").write_text(reader.here(client.text), encoding="utf-8")
    done = subprocess.run(
        ["node", str(tmp_path / "vote.mjs")],
        cwd=reader.settings.project,
        env={**reader.env, "NODE_EXTRA_CA_CERTS": ".coalmine/tls/ca.pem"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "already: false" in done.stdout


def test_down_stops_it(reader: Reader) -> None:
    """The tutorial's last section leaves nothing running."""
    (last,) = [block for block in blocks(ROOT / "docs" / "tutorial.md", "console") if LAST in block.text]
    reader.type(last)
    assert reader.said(LAST).startswith("stopped\n")
    assert not up.running(reader.settings)
