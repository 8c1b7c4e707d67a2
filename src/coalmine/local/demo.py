"""The story that `make demo` tells: four releases of a real model on real data, judged by real people's votes.

v1 is trained on tweets and is the first release. Traffic moves to product reviews, where it is wrong twice as often.
v2 learns from the votes and is promoted. v3 is trained on damaged labels: every technical metric is good, and people
say no. v4 fails one request in twenty. Ends with a table and `.coalmine/demo/summary.json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coalmine.files import write_whole
from coalmine.local import scene as scenes
from coalmine.local import up
from coalmine.local.scene import People, Scene
from coalmine.records import Ending, Outcome, Release
from coalmine.release.alias import registry
from coalmine.release.ledger import Ledger
from coalmine.release.publish import release as publish
from coalmine.settings import Settings
from coalmine.steps.chain import Wish, retrain

RATE = 120.0  # requests a second: half of what one arm does on two cores beside everything else
ENOUGH_VOTES = 1500
MUST = {1: Outcome.FIRST_RELEASE, 2: Outcome.PROMOTED, 3: Outcome.ROLLED_BACK, 4: Outcome.ROLLED_BACK}


@dataclass(frozen=True, slots=True)
class Told:
    """One row of the summary."""

    version: int
    release: str
    verdict: str
    reason: str
    seconds: float
    canary_requests: int
    failed: int
    lost: int
    alias: int | None
    report: str = ""


@dataclass(slots=True)
class Story:
    """What has happened so far."""

    scene: Scene
    people: People
    rows: list[Told] = field(default_factory=list)
    lost_before: int = 0

    @property
    def settings(self) -> Settings:
        return self.scene.settings

    def say(self, text: str, *, style: str = "") -> None:
        self.scene.console.print(text, style=style, highlight=False)

    def chapter(self, title: str) -> None:
        self.scene.console.rule(title, align="left")

    def make(self, wish: Wish) -> Release:
        return retrain(self.settings, wish, tell=lambda text: self.say(f"  {text}", style="dim"))

    def push(self, release: Release, *, faults: str = "") -> int:
        """Push a release; returns the number of the attempt that it begins."""
        attempt = self.scene.last_attempt() + 1
        commit = publish(self.settings, release.id, checkout=self.settings.project, faults=faults)
        self.say(f"git push: {commit[:7]} release {self.settings.model} {release.id}")
        return attempt

    def ended(self, attempt: int) -> Told:
        """Wait for the end of an attempt, say what was done about it, and keep its row."""
        found: list[Ending] = []

        def over() -> bool:
            ending = self.scene.ending(attempt)
            found.extend([ending] if ending else [])
            return ending is not None

        self.scene.wait("judging", over)
        ending = found[0]
        cost = self.scene.cost(ending)
        lost = int(self.people.seen()["lost"])
        report = self._report(ending)
        told = Told(
            version=ending.release.version,
            release=str(ending.release),
            verdict=str(ending.outcome),
            reason=ending.reason,
            seconds=round(self.scene.seconds(ending), 1),
            canary_requests=cost.canary_requests,
            failed=cost.failed,
            lost=lost - self.lost_before,
            alias=registry(self.settings).alias(),
            report=report,
        )
        self.lost_before = lost
        self.rows.append(told)
        self.say(f"{told.verdict.replace('_', ' ')} after {told.seconds:.0f} s: {told.reason}", style="bold")
        self.say("git log:\n" + "\n".join(f"  {line}" for line in self.scene.log()))
        self.say(f"alias champion: version {told.alias}    report: {told.report}")
        return told

    def _report(self, ending: Ending) -> str:
        reports = Ledger(self.settings.database).reports(self.settings.model)
        return next((report.html for attempt, report in reports if attempt == ending.attempt), "")


def run(settings: Settings, *, keep: bool = False) -> int:
    """Tell it. Returns 0 only if all verdicts came out as they must, 1 otherwise."""
    began = time.time()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)  # a log: nobody's window to fit into
    console.print("Coalmine demo: a clone and a state of its own under .coalmine/demo; nothing else is touched.")
    scene = scenes.set_up(settings.project, console)
    people: People | None = None
    try:
        with console.status("starting nginx, judge, feedback, MLflow"):
            up.detached(scene.settings)
        people = scene.people()
        story = Story(scene, people)
        _tell(story)
        summary = {"releases": [asdict(row) for row in story.rows], "seconds": round(time.time() - began, 1)}
        write_whole(scene.folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        return _conclude(story, summary, keep=keep)
    finally:
        if people is not None:
            people.leave()
        if not keep:
            up.down(scene.settings)


def _tell(story: Story) -> None:
    scene, people, here = story.scene, story.people, story.settings

    story.chapter("v1: trained on tweets, the first release")
    first = story.make(Wish(domains=["tweets"]))
    story.ended(story.push(first))
    story.say(f"serving at https://localhost:{here.ports.https}; people ask about tweets and vote on the answers")
    people.ask(rate=RATE, domain="tweets", split="traffic")
    on_tweets = _share_down(scene, people, votes=250)
    story.say(f"thumbs down on tweets: {on_tweets:.1%}")

    story.chapter("the world changes: people now ask about product reviews")
    people.ask(rate=RATE, domain="reviews", split="feedback")
    on_reviews = _share_down(scene, people, votes=ENOUGH_VOTES)
    story.say(f"thumbs down on reviews: {on_reviews:.1%}. It is the traffic that has changed, and nothing failed.")

    story.chapter("v2: retrained with those votes")
    second = story.make(Wish(domains=["tweets"], votes=True))
    people.ask(rate=RATE, domain="reviews", split="traffic")  # sentences that nobody has learnt from
    attempt = story.push(second)
    with ThreadPoolExecutor(max_workers=1) as aside:
        # The next two are built while this one is judged, as a team would.
        later = aside.submit(_two_bad_ones, story)
        story.ended(attempt)
        third, fourth = _wait_for(later)

    story.chapter("v3: trained on damaged labels, pushed past the offline gate")
    story.say(f"the gate was overridden: {third.override}")
    story.ended(story.push(third))

    story.chapter("v4: fails one request in twenty")
    story.ended(story.push(fourth, faults="error_rate=0.05"))


def _two_bad_ones(story: Story) -> tuple[Release, Release]:
    damaged = Wish(
        domains=["tweets"],
        options={"first_characters": 5},
        override="the demo's damaged model: let people be the judge of it",
    )
    healthy = Wish(domains=["tweets"], votes=True, seed=4)
    return story.make(damaged), story.make(healthy)


def _wait_for(later: Future[tuple[Release, Release]]) -> tuple[Release, Release]:
    return later.result(timeout=scenes.PATIENCE)


def _share_down(scene: Scene, people: People, *, votes: int) -> float:
    """Wait for so many more votes; the share of thumbs down among them."""
    up_before, down_before = people.thumbs()
    scene.wait(f"waiting for {votes:,} votes", lambda: sum(people.thumbs()) - up_before - down_before >= votes)
    thumbs_up, thumbs_down = people.thumbs()
    return (thumbs_down - down_before) / (thumbs_up + thumbs_down - up_before - down_before)


def _conclude(story: Story, summary: Mapping[str, Any], *, keep: bool) -> int:
    table = Table(title=f"four releases in {summary['seconds']:.0f} s")
    for name in ("release", "verdict", "why", "seconds", "to the canary", "failed", "lost"):
        table.add_column(name, justify="left" if name in ("release", "verdict", "why") else "right")
    for row in story.rows:
        counts = (row.canary_requests, row.failed, row.lost)
        table.add_row(
            row.release, row.verdict.replace("_", " "), row.reason, f"{row.seconds:.0f}", *(f"{n:,}" for n in counts)
        )
    story.scene.console.print(table)
    wrong = [row for row in story.rows if row.verdict != MUST[row.version]]
    for row in wrong:
        story.say(f"{row.release} should have been {MUST[row.version]}", style="bold red")
    missing = len(MUST) - len(story.rows)
    story.say(f"summary: {story.scene.folder / 'summary.json'}")
    if keep:
        project = _shown(story.settings.project)
        state = _shown(story.settings.state)
        story.say(f"it goes on running: the judge's page is {story.settings.judge_url}")
        story.say(f"end it with: coalmine --project {project} --state {state} down")
    return 1 if wrong or missing else 0


def _shown(path: Path) -> str:
    """Relative to where the user is, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
