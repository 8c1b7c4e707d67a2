"""What the workflows may do is little and said; what they call exists."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from cluster.__main__ import app as bench
from coalmine.steps.image import OWN
from unit.docs.commands import command
from unit.docs.test_pages import _wrong
from unit.workflows.read import ROOT, Job, commands, files, jobs, scripts, workflow

PINNED = re.compile(r"^\s*(?:- )?uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<sha>[0-9a-f]{40}) # v[0-9]+\.[0-9]+\.[0-9]+$")
# Each job that may write, and what. A job that is not here only reads.
WRITES = {
    "ci.yml:comment": {"pull-requests"},
    "images.yml:image": {"packages"},
    "release.yml:release": set(),  # it writes as the bot, whose token is its own
}
SCRIPTS = list(scripts())


def test_each_action_is_pinned_by_its_commit_with_the_version_beside_it() -> None:
    """And by the same one wherever it is used."""
    seen: dict[str, set[str]] = {}
    for path in files():
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"\s*(?:- )?uses:", line):
                found = PINNED.match(line)
                assert found, f"{path.name}: {line}"
                seen.setdefault(found["action"], set()).add(found["sha"])
    assert seen
    assert all(len(shas) == 1 for shas in seen.values()), seen


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_a_workflow_has_no_rights_of_its_own_and_ends(path: Path) -> None:
    """Rights are each job's; a newer run of the same thing is no second one."""
    made = workflow(path)
    assert made["permissions"] == {}
    assert made["concurrency"]["group"]


@pytest.mark.parametrize("job", jobs(), ids=str)
def test_a_job_has_the_rights_it_needs_and_an_end(job: Job) -> None:
    """Writing is the exception, and named above."""
    rights: dict[str, str] = job.data["permissions"]
    assert set(rights.values()) <= {"read", "write"}
    assert {name for name, right in rights.items() if right == "write"} == WRITES.get(str(job), set())
    assert 0 < job.data["timeout-minutes"] <= 120
    assert re.fullmatch(r"ubuntu-[0-9]{2}\.[0-9]{2}", job.data["runs-on"])


def test_a_tag_builds_every_image_of_our_own_that_a_cluster_names() -> None:
    """And none of them is taken for a model's version."""
    (job,) = [job for job in jobs() if str(job) == "images.yml:image"]
    wanted = json.dumps(sorted(OWN))
    (bento,) = [step for step in job.steps if step.get("name") == "the Bento of a model's version"]
    assert f"'{wanted}'" in job.data["strategy"]["matrix"]["wanted"]
    assert f"!contains(fromJSON('{wanted}'), matrix.wanted)" in bento["if"]


@pytest.mark.parametrize("job", jobs(), ids=str)
def test_a_checkout_leaves_no_credentials_behind(job: Job) -> None:
    """A later step, or what it runs, could use them."""
    for step in job.steps:
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("job", jobs(), ids=str)
def test_no_text_from_outside_gets_into_a_script(job: Job) -> None:
    """An expression is pasted before the shell reads; what is needed comes by the environment."""
    for step in job.steps:
        assert "${{" not in step.get("run", ""), step["run"]
        assert "script" not in step.get("with", {})


def test_nothing_proposed_runs_where_secrets_are() -> None:
    """`pull_request_target` has the base's rights: what it checks out is the base, and no secret is named there."""
    for path in files():
        made = workflow(path)
        if "pull_request_target" in made["on"]:
            text = json.dumps(made["jobs"])
            assert "secrets." not in text
            assert "allow-unsafe-pr-checkout" not in text
            refs = re.findall(r'"ref": "([^"]*)"', text)
            assert not any("pull_request" in ref.replace("pull_request_target", "") for ref in refs), refs
        if "pull_request" in made["on"]:
            assert "secrets." not in json.dumps(made["jobs"])


def test_secrets_reach_programs_by_the_environment_only() -> None:
    """Never as an argument, which any process can read."""
    for job in jobs():
        for step in job.steps:
            outside = {key: value for key, value in step.items() if key not in {"env", "with"}}
            assert "secrets." not in json.dumps(outside), step


@pytest.mark.parametrize(("job", "script"), SCRIPTS, ids=[f"{job}-{place}" for place, (job, _) in enumerate(SCRIPTS)])
def test_what_a_script_calls_exists(job: Job, script: str) -> None:
    """Targets of make, commands and options of coalmine and of the bench, scripts of this repository."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(VENV)", ".venv")
    for words in commands(script):
        program, rest = words[0], words[1:]
        if program == "make":
            missing = [one for one in rest if not re.search(rf"^{re.escape(one)}:", makefile, re.MULTILINE)]
            assert not missing, f"{job}: make {missing}"
        elif program.endswith("coalmine"):
            wrong = _wrong(command(), rest)
            assert not wrong, f"{job}: {' '.join(words)}: {wrong}"
        elif program.endswith("python") and rest[:2] == ["-m", "cluster"]:
            made = typer.main.get_command(bench)
            assert isinstance(made, TyperGroup)
            wrong = _wrong(made, rest[2:]) if rest[2] != "build" else ""  # takes any number of names
            assert not wrong, f"{job}: {' '.join(words)}: {wrong}"
        elif program.startswith("."):
            assert program.startswith(".venv/bin/") or os.access(ROOT / program, os.X_OK), f"{job}: {program}"


def test_the_commands_of_a_script_are_found() -> None:
    """In substitutions, after assignments, behind pipes; the check above sees them all."""
    script = (
        'A=1 make x\necho "B=$(P=t .venv/bin/coalmine status)" >> "$E"\n'
        ".venv/bin/coalmine a \\\n  b > d | tee c && make y\nsudo env C=1 make z\n"
    )
    found = list(commands(script))
    assert [".venv/bin/coalmine", "status"] in found
    assert [".venv/bin/coalmine", "a", "b"] in found
    assert ["make", "x"] in found
    assert ["make", "y"] in found
    assert ["make", "z"] in found
