"""Airflow's operators for the steps, in processes on one machine and in pods; and what wakes the DAG.

Nothing goes through XCom but the links that the page shows: what a step hands over lies in the run's folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from coalmine.pipeline.command import BEGIN, Meaning, command, meaning, wishes

PROJECT = "COALMINE_PROJECT"  # the clone that steps work in
MODEL = "COALMINE_MODEL"
PROGRAM = "COALMINE_PROGRAM"  # how `coalmine` is called there; empty: by its name


def words() -> list[str]:
    """What stands before a step's words."""
    return shlex.split(os.environ.get(PROGRAM) or "coalmine")


@attrs.define
class Link(BaseOperatorLink):  # type: ignore[misc]  # Airflow's types are not followed
    """A button on a task's page, to where its outcome can be looked at."""

    title: str = ""

    @property
    def name(self) -> str:
        return self.title

    @property
    def xcom_key(self) -> str:
        return f"_link_{self.title}"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 (Airflow's own signature)
        """What the step has said; empty where it has said none."""
        return str(operator.links.get(self.title, ""))


@attrs.define
class MlflowLink(Link):
    title: str = "MLflow"


@attrs.define
class ReportLink(Link):
    title: str = "Release report"


class Step(BaseOperator):  # type: ignore[misc]  # as above
    """One step in a process of its own on this machine."""

    operator_extra_links: ClassVar[Sequence[Link]] = (MlflowLink(), ReportLink())

    def __init__(self, *, step: str, model: str, **options: Any) -> None:
        super().__init__(task_id=step, do_xcom_push=False, **options)
        self.step = step
        self.model = model
        self.links: Mapping[str, str] = {}
        self._child: subprocess.Popen[str] | None = None

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run it. An exit code that another try would not change fails the task for good."""
        said = _said(context) if self.step == BEGIN else ()
        line = [*words(), *command(self.step, context["run_id"], *said)]
        code, answer = self._run(line)
        self.links = answer.get("links") or {}
        found = meaning(code)
        if found is Meaning.SKIP:
            raise AirflowSkipException(str(answer.get("error") or answer.get("why") or "nothing to do"))
        if found is not Meaning.DONE:
            told = f"{self.step}: {answer.get('error', f'exit code {code}')}; {answer.get('remedy', '')}"
            raise (AirflowException if found is Meaning.RETRY else AirflowFailException)(told)

    def _run(self, line: list[str]) -> tuple[int, dict[str, Any]]:
        """Its standard error goes to the task's log as it comes; its answer is one JSON document."""
        child = subprocess.Popen(
            line,
            cwd=os.environ.get(PROJECT) or None,
            env={**os.environ, MODEL: self.model},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,  # one kill for all of it; still in the session that ends with Airflow
        )
        self._child = child
        lines: list[str] = []
        for text in child.stdout or ():
            lines.append(text)
            self.log.info("%s", text.rstrip())
        return child.wait(), _document("".join(lines))

    def on_kill(self) -> None:
        """The step goes with the task, and with it what it started."""
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGTERM)


def _said(context: Mapping[str, Any]) -> Sequence[str]:
    """The form's fields; a run that a person triggers is by hand."""
    form = context["params"]
    hand = context["dag_run"].run_type == "manual"  # an enum of strings whose str() is another one
    return wishes(
        because="hand" if hand else "due",
        mode=form["mode"] or "",
        override=form["override"] or "",
        release=str(form["release"]),
    )


class Due(BaseEventTrigger):  # type: ignore[misc]  # as above
    """Wakes the DAG when a run is due, by asking `coalmine pipeline due` now and then."""

    def __init__(self, model: str, seconds: float = 30.0) -> None:
        super().__init__()
        self.model = model
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.Due", {"model": self.model, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event each time; the next question comes a round later, when the run that it woke goes on."""
        while True:
            child = await asyncio.create_subprocess_exec(
                *words(),
                "--json",
                "pipeline",
                "due",
                cwd=os.environ.get(PROJECT) or None,
                env={**os.environ, MODEL: self.model},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, problem = await child.communicate()
            if child.returncode == 0:
                yield TriggerEvent(_document(out.decode()))
            elif child.returncode != 99:
                self.log.warning("coalmine pipeline due: %s", problem.decode().strip())
            await asyncio.sleep(self.seconds)


def _document(text: str) -> dict[str, Any]:
    """The JSON object that a command answers with, after its progress; empty where it was killed before."""
    _, brace, rest = ("\n" + text).rpartition("\n{")
    try:
        found, _ = json.JSONDecoder().raw_decode("{" + rest) if brace else ({}, 0)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
