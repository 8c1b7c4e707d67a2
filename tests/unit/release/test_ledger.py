"""The ledger forgets nothing, says nothing twice, and is shared by processes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from coalmine.errors import Broken, Refused
from coalmine.records import Report
from coalmine.release.ledger import Ledger

from .conftest import M1, M2, Site


def test_a_release_is_never_changed(site: Site) -> None:
    known = site.know(M1)
    assert site.ledger.add(dataclasses.replace(known, created=99.0)) == known
    with pytest.raises(Refused, match="other content"):
        site.ledger.add(dataclasses.replace(known, bento_digest="another"))
    assert site.ledger.find("sentiment", M1) == known
    assert site.ledger.find("weather", M1) is None


def test_a_lifted_quarantine_comes_back_with_the_next_failure(site: Site) -> None:
    site.ledger.quarantine("sentiment", M1, attempt=1, reason="first")
    site.ledger.lift("sentiment", M1, commit="c1", reason="again")
    assert site.ledger.quarantined("sentiment", M1) is None
    site.ledger.quarantine("sentiment", M1, attempt=1, reason="said twice")
    assert site.ledger.quarantined("sentiment", M1) is None
    site.ledger.quarantine("sentiment", M1, attempt=2, reason="second")
    held = site.ledger.quarantined("sentiment", M1)
    assert held is not None
    assert (held.reason, held.attempt) == ("second", 2)


def test_an_ending_comes_back_as_it_was(site: Site) -> None:
    endings = [site.ending(M2, M1, "c"), site.ending(M1, None, "c", attempt=8, baked=True)]
    for ending in endings:
        site.ledger.begin(ending)
        site.ledger.begin(ending)
    assert site.ledger.closings("sentiment", unfinished=True) == endings
    site.ledger.record(endings[0], "heal", "sha")
    site.ledger.record(endings[0], "heal", "said twice")
    assert site.ledger.steps(endings[0]) == {"heal": "sha"}
    site.ledger.finish(endings[0])
    assert site.ledger.closings("sentiment", unfinished=True) == endings[1:]


def test_a_report_written_again_replaces(site: Site) -> None:
    site.ledger.add_report("sentiment", 1, Report(M1, "a.html", "a.json"), complete=False)
    assert len(site.ledger.reports("sentiment", incomplete=True)) == 1
    site.ledger.add_report("sentiment", 1, Report(M1, "a.html", "a.json"), complete=True)
    assert site.ledger.reports("sentiment", incomplete=True) == []
    assert site.ledger.reports("sentiment") == [(1, Report(M1, "a.html", "a.json"))]


def test_processes_that_begin_at_once_share_one_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from coalmine.release.ledger import Ledger\n"
        "from coalmine.records import ReleaseId\n"
        "for n in range(1, 11):\n"
        "    Ledger(Path(sys.argv[1])).quarantine('s', ReleaseId(n, 'abc1234'), attempt=int(sys.argv[2]), reason='r')\n"
    )
    database = tmp_path / "coalmine.db"
    running = [subprocess.Popen([sys.executable, "-c", code, str(database), str(n)]) for n in range(1, 5)]
    assert [process.wait() for process in running] == [0] * 4
    assert len(Ledger(database).quarantines("s")) == 40


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "coalmine.db").write_bytes(b"not a database " * 100)
    with pytest.raises(Broken, match="damaged"):
        Ledger(tmp_path / "coalmine.db")
