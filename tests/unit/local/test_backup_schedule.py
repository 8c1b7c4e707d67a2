"""The timer that the documentation hands out does what it says, on one machine."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from coalmine.local import backup as backups

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = ROOT / "docs" / "how-to" / "back-up-and-restore.md"


class Unit(ConfigParser):
    """systemd's files, in which a key may come twice: its values are joined by a newline."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment]  # as typeshed's own comment has it
        text = path.read_text()
        starts = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        self.starts = [shlex.split(line) for line in starts]
        self.read_string(text)


def test_its_command_lines_copy_and_read_the_copy_again(tmp_path: Path) -> None:
    """Those of the service, with its folders replaced by the test's: twice, so that the second finds the first."""
    service = Unit(EXAMPLES / "coalmine-backup.service")
    state, copies = tmp_path / "project" / ".coalmine", tmp_path / "copies"
    state.mkdir(parents=True)
    (state / "judge.key").write_bytes(b"secret")
    assert [line[0] for line in service.starts] == ["/srv/project/.venv/bin/coalmine"] * 2
    for _ in range(2):
        for line in service.starts:
            words = [word.replace("/var/backups/coalmine", str(copies)) for word in line[1:]]
            subprocess.run([sys.executable, "-m", "coalmine.cli", *words], cwd=state.parent, check=True)
    assert len(backups.snapshots(copies)) == 2
    assert copies.stat().st_mode & 0o777 == 0o700


def test_it_may_write_where_it_must_and_nowhere_else() -> None:
    """SQLite's index lies beside a database, so the state folder too; no network, no root."""
    service = Unit(EXAMPLES / "coalmine-backup.service")["Service"]
    assert service["ReadWritePaths"].split() == ["/srv/project/.coalmine", "/var/backups/coalmine"]
    assert service["ProtectSystem"] == "strict"
    assert service["PrivateNetwork"] == "yes"
    assert service["User"] != "root"


def test_it_starts_every_night_and_makes_up_for_a_night_that_was_missed() -> None:
    timer = Unit(EXAMPLES / "coalmine-backup.timer")["Timer"]
    assert re.fullmatch(r"\*-\*-\* \d\d:\d\d:\d\d", timer["OnCalendar"])
    assert timer["Persistent"] == "true"


def test_systemd_itself_takes_both_files(tmp_path: Path) -> None:
    """Where there is one: it tells of unknown sections, unknown keys and values that it cannot read."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd here")
    text = (EXAMPLES / "coalmine-backup.service").read_text()
    known = text.replace("/srv/project/.venv/bin/coalmine", "/bin/true").replace("User=coalmine\n", "")
    (tmp_path / "coalmine-backup.service").write_text(known)
    shutil.copy(EXAMPLES / "coalmine-backup.timer", tmp_path)
    units = [str(tmp_path / f"coalmine-backup.{kind}") for kind in ("service", "timer")]
    done = subprocess.run([program, "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "coalmine-backup" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_pages_line_for_cron_is_one() -> None:
    """Five fields, then the same command as the timer's."""
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith("15 2 "))
    assert line.split()[:5] == ["15", "2", "*", "*", "*"]
    command = line.partition("&& ")[2]
    service = Unit(EXAMPLES / "coalmine-backup.service")
    assert shlex.split(command)[1:] == service.starts[0][1:]
