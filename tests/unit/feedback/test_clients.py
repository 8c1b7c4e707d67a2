"""The short clients of the guide, word for word, against the service itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from coalmine.feedback import token
from coalmine.feedback.store import events_since
from coalmine.records import Kind
from e2e.snippets import blocks
from unit.feedback.test_api import RELEASE, start

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "feedback-client.md"


def test_five_lines_of_python_and_of_javascript_send_what_people_do(tmp_path: Path) -> None:
    """Each program ends well, and its event is on disk."""
    api = start(tmp_path)
    try:
        for kind, command in (("python", [sys.executable]), ("javascript", ["node"])):
            text = blocks(PAGE, kind)[1].text
            assert len([line for line in text.splitlines() if line.strip()]) <= 5
            signed = token.sign(token.mint(), RELEASE, key=api.key)
            program = tmp_path / f"send.{'mjs' if kind == 'javascript' else 'py'}"
            program.write_text(text.replace("https://localhost:8443", api.url).replace("PREDICTION_ID", signed))
            done = subprocess.run(
                [*command, str(program)], env=os.environ, capture_output=True, text=True, timeout=90, check=False
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("200 ")
    finally:
        api.process.kill()
        api.process.wait()
    assert [event.kind for _, event in events_since(api.database)] == [Kind.DWELL, Kind.CLICK]
