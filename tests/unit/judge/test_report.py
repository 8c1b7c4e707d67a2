"""A report is one file that explains itself, and its pictures show the numbers that they are made of."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coalmine.judge import report, views
from coalmine.judge.app import make_app
from coalmine.judge.report import plots, words
from coalmine.judge.report.chart import Axis, Drawing, Label, apart, svg, ticks
from coalmine.judge.report.page import live as live_page
from coalmine.judge.service import open_desk
from coalmine.judge.store import Counted
from unit.judge.made import EVERY_KIND, OPENED, errors, every_kind, live

FINITE = st.floats(-1e6, 1e6)


def facts(**row: Any) -> dict[str, Any]:
    return report.facts(live(every_kind(), policy=EVERY_KIND, **row), OPENED + 31)


def drawn(drawing: Drawing) -> ET.Element:
    return ET.fromstring(svg(drawing))


def test_the_report_is_one_file_that_asks_for_nothing() -> None:
    page = report.html(facts())
    assert re.findall(r"<script|<link[^>]*href=\"(?!data:)|src=|url\(|@import", page) == []
    assert page.count("<svg") == 2 + 6 + 1, "evidence twice, a band for each metric that has one, weights"
    for picture in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        assert ET.fromstring(picture).tag.endswith("svg")


def test_page_and_report_lead_to_the_commit_and_the_run() -> None:
    policy = EVERY_KIND + "links:\n  commit: 'https://git.example.org/commit/{sha}'\n"
    given = report.facts(live(every_kind(), policy=policy), OPENED + 31)
    link = '<a href="https://git.example.org/commit/abcdef0" rel="noreferrer">commit</a>'
    polls = {"rows": [], "total": 0, "end": 0, "start": 0, "newer": 0, "upto": 0}
    history = {"rows": [], "more": False, "limit": 10, "chosen": 1}
    assert link in report.html(given)
    assert link in live_page({**given, "polls": polls}, history)


def test_names_and_reasons_are_text_and_never_markup() -> None:
    told = report.facts(
        live(errors(5), release="<script>alert(1)</script>"),
        OPENED + 6,
        overrides=[{"t": OPENED, "action": "hold", "who": "<b>ada</b>", "why": "<img src=x>"}],
        events=[{"t": OPENED, "kind": "event", "answer": 200, "text": "<script>"}],
    )
    page = report.html(told)
    assert "<script" not in page
    assert "<b>" not in page
    assert "<img" not in page
    assert "&lt;b&gt;ada" in page


def test_the_whole_policy_can_be_read_in_the_report() -> None:
    page = report.html(facts())
    for line in ("alpha: 0.01", "more_edges:", "window_seconds: 30.0", "on_inconclusive: hold"):
        assert line in page


def test_a_report_without_any_data_says_so() -> None:
    told = report.facts(live([]), OPENED + 1)
    assert "No poll has been cut yet" in report.html(told)
    assert report.png(told).startswith(b"\x89PNG")


def test_extra_failures_are_those_above_the_primarys_rate() -> None:
    """240 requests of which 24 failed, where the primary fails 1 in 180: 22.7 more than it would have had."""
    told = report.facts(live(errors(12, e_c=2)), OPENED + 13)
    assert told["cost"]["extra_failures"] == pytest.approx(24 - 240 / 180, abs=0.06)
    assert dict(words.costs(told["cost"]))["failures above the primary's own rate, estimated"] == "about 23"


def test_the_lines_of_a_band_lie_where_their_values_are() -> None:
    """Log scale: the pixels between 1 and a margin are in proportion to the margin's logarithm."""
    view, trace = (told := facts())["analysis"], told["trace"]
    picture = drawn(plots.band(view, trace, "errors"))
    height = {
        float(path.attrib["data-value" if "data-value" in path.attrib else "data-tick"]): float(
            path.attrib["d"].split(",")[1].split("L")[0]
        )
        for path in picture.iter("{http://www.w3.org/2000/svg}path")
        if path.attrib.keys() & {"data-value", "data-tick"}
    }
    octave = height[1.0] - height[2.0]
    assert octave > 10
    assert height[1.0] - height[4.0] == pytest.approx(2 * octave, abs=0.2)
    assert height[1.0] - height[1.25] == pytest.approx(octave * 0.3219, abs=0.2)


def test_the_picture_shows_the_line_that_decides() -> None:
    """A red pixel in the row of the threshold, black ones where the mean ends, none of both elsewhere on the paper."""
    told = facts()
    picture = Image.open(io.BytesIO(report.png(told))).convert("RGB")
    assert picture.width == 1800
    colours = {colour for _, colour in picture.getcolors(maxcolors=1 << 24) or []}
    assert (186, 43, 33) in colours
    assert (29, 33, 38) in colours
    plot = plots.evidence(told["analysis"], told["trace"], width=876.0, height=380.0)
    line = next(s for s in plot.shapes if getattr(s, "data", {}).get("line") == "evidence")
    row = 2 * (picture.height / 2 - 8 - 380 + line.points[0][1])  # type: ignore[union-attr]
    reds = [x for x in range(200, 1400) if picture.getpixel((x, round(row))) == (186, 43, 33)]
    assert len(reds) > 400


def test_the_picture_is_painted_by_a_process_of_its_own_too() -> None:
    told = facts()
    command = [sys.executable, "-m", "coalmine.judge.report"]
    done = subprocess.run(command, input=json.dumps(told).encode(), capture_output=True, check=True, timeout=60)
    assert done.stdout == report.png(told)


@given(low=FINITE, span=st.floats(1e-3, 1e6))
def test_ticks_are_few_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 6
    assert all(low - 1e-6 * span - 1e-6 <= value <= low + span * (1 + 1e-6) + 1e-6 for value in found)


@given(st.lists(st.floats(12, 184), max_size=9))
def test_labels_never_lie_on_one_another(heights: list[float]) -> None:
    placed = apart([Label(0, y, str(i)) for i, y in enumerate(heights)], top=12, bottom=184)
    rows = sorted(label.y for label in placed)
    assert all(after - before >= 13.99 for before, after in pairwise(rows))
    assert {label.text for label in placed} == {str(i) for i in range(len(heights))}


@given(low=st.floats(1e-3, 1), high=st.floats(1.5, 1e3), value=st.floats(1e-6, 1e6))
def test_what_lies_beyond_an_axis_lands_on_its_edge(low: float, high: float, value: float) -> None:
    assert 10 <= Axis(low, high, 100, 10, log=True).at(value) <= 100


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (99, "99 s"), (240, "4 min"), (5900, "98 min"), (7200, "2.0 h")]
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.34, 2.25, "1.3 to 2.2"), (0.0003, 2.0, "up to 2"), (1.5, 2981.0, "1.5 or more"),
        (0.0003, 2981.0, "not known yet"), (None, None, "changed during the rollout"),
    ],
)  # fmt: skip
def test_a_band_is_said_with_its_known_ends(low: float | None, high: float | None, said: str) -> None:
    assert words.ratio({"odds_low": low, "odds_high": high}) == said


def test_every_poll_is_reached_by_turning_pages(tmp_path: Path) -> None:
    desk = open_desk(database=str(tmp_path / "judge.db"), policies=tmp_path)
    made, polls = live(errors(45)), errors(45)
    for number in (1, 2):
        counting = json.dumps(made.counting.dump())
        desk.store.open("n", "n", f"c{number}", opened=OPENED, policy="", counting=counting)
        desk.store.update(number, status="closed", outcome="promoted", ended=OPENED + 60)
    desk.store.commit({}, [Counted(1, json.dumps(made.counting.dump()), tuple(polls))])
    app, seen, turn = make_app(desk), [], "?analysis=1"
    for _ in range(3):
        page = asked(app, f"/page{turn}").text
        seen += [int(number) for number in re.findall(r'data-poll="(\d+)"', page)]
        turn = (re.findall(r'data-key="older" href="([^"]+)"', page) or [""])[0].replace("&amp;", "&")
    assert seen == list(range(45, 0, -1))
    assert turn == ""
    assert 'data-key="row-2"' in asked(app, "/page?analysis=1").text
    assert 'data-key="more"' in asked(app, "/page?history=1").text
    assert asked(app, "/page?analysis=9").status_code == 404
    assert asked(app, "/api/v1/analyses/9/report.html").status_code == 404
    found = asked(app, "/api/v1/analyses/1/report.json").json()
    assert found["analysis"]["id"] == 1
    assert len(found["trace"]) == len(views.trace(live(polls)))
    assert asked(app, "/api/v1/analyses/1/report.png").headers["content-type"] == "image/png"
    desk.close()


def test_a_release_has_an_address_before_it_has_a_report(tmp_path: Path) -> None:
    """First it leads to how the canary goes, then to the newest report; what is no release is refused."""
    folder = tmp_path / "reports"
    app = make_app(open_desk(database=str(tmp_path / "judge.db")), reports=folder)
    assert asked(app, "/releases/m2-1a2b3c4").headers["location"] == "/page"
    (folder / "toy").mkdir(parents=True)
    for attempt, text in (("1", "rolled back"), ("2", "promoted")):
        path = folder / "toy" / f"m2-1a2b3c4-attempt{attempt}.html"
        path.write_text(text)
        os.utime(path, (int(attempt), int(attempt)))
    assert asked(app, "/releases/m2-1a2b3c4").text == "promoted"
    assert asked(app, "/releases/m2-1a2b3c").status_code == 422
    assert asked(app, "/releases/..%2Fjudge").status_code == 404
    assert asked(app, "/releases/m3-1a2b3c4").status_code == 307


def asked(app: FastAPI, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://judge") as client:
            return await client.get(path)

    return asyncio.run(ask())
