"""The restore drill: a machine that lost its state folder comes back with what it had, and serves it."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from coalmine.local import backup as backups
from e2e.runtime import Runtime, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def answered_by(here: Runtime) -> str:
    """The release that answers a prediction; empty while none does."""
    try:
        with here.client() as client:
            told = client.post("/predict", json={"text": "a fine day"})
    except httpx.HTTPError:
        return ""
    return str(here.ledger.primary(here.settings.model)) if told.status_code == 200 else ""


def test_a_lost_state_folder_is_put_back_from_a_copy_taken_while_it_ran(tmp_path: Path) -> None:
    """By digest: what is restored is what was copied; the runtime then serves the release that it served."""
    with started(tmp_path / "machine", base=22443) as here:
        state, copies = here.settings.state, tmp_path / "copies"
        serving, champion, main = answered_by(here), here.champion(), here.main()
        here.cli("backup", str(state), str(copies))
        here.cli("verify-backup", str(copies))
        here.cli("down")
        shutil.rmtree(state)
        here.cli("restore", str(copies), str(state))
        assert backups.mismatches(state, backups.load(copies)) == []
        here.cli("up", "-d")
        assert here.wait("a prediction", lambda: answered_by(here), seconds=180) == serving
        assert (here.champion(), here.main()) == (champion, main)
