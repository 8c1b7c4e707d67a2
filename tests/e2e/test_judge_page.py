"""The judge's page in a real browser: every number is the API's, at that moment, and the plots show them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import pytest
from PIL import ImageColor
from playwright.sync_api import Browser, Locator

from coalmine.judge import tokens
from e2e.browser import CONTRAST, PHONE, Look, chromium, looking, stable
from unit.judge.running import NEW, OLD, Running, Traffic, begin, judge

__all__ = ["chromium"]  # the fixture
pytestmark = pytest.mark.slow
LIVE = "m3-abcdef0"
SHOWN = """() => ({
  sentence: document.querySelector("[data-value=sentence]").innerText,
  reason: document.querySelector("[data-value=reason]").innerText,
  facts: document.querySelector("[data-analysis] .facts").innerText,
  metrics: Object.fromEntries([...document.querySelectorAll("section[data-metric]")].map(card => [card.dataset.metric,
    Object.fromEntries([...card.querySelectorAll("td[data-value]")].map(n => [n.dataset.value, n.innerText]))])),
})"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Traffic]]:
    """Three attempts behind a real judge: a bad one rolled back, a good one promoted, one that rolls out."""
    folder = tmp_path_factory.mktemp("judge")
    secret = tokens.add(folder / "tokens.json", "oncall", may=("override",))
    (folder / "sentiment.sentiment.yaml").write_text("metrics:\n  latency: {more_edges: [0.05, 0.2]}\n")
    with judge(folder, more={"--tokens": folder / "tokens.json"}) as running:
        begin(running, checksum="c1")
        traffic = Traffic(running, behind=75)
        traffic.step(10, 5)
        traffic.more(10, 12, bad=0.3)
        assert running.hook("rollback", checksum="c1")[0] == 200
        assert running.hook("post-rollout", checksum="c1", phase="Failed")[0] == 200
        traffic.step(0, 1)
        begin(running, checksum="c2", metadata={"release": "m2-fedcba0"})
        traffic.step(10, 8, canary="m2-fedcba0")
        traffic.step(50, 26, canary="m2-fedcba0")
        assert running.hook("confirm-promotion", checksum="c2")[0] == 200
        traffic.step(0, 3, primary="m2-fedcba0")
        assert running.hook("post-rollout", checksum="c2", phase="Succeeded")[0] == 200
        begin(running, checksum="c3", metadata={"release": LIVE})
        traffic.step(20, 8, bad=0.03, canary=LIVE, primary="m2-fedcba0")
        wish = {"action": "hold", "who": "ada", "why": "the sale <b>begins</b>"}
        assert running.post("/api/v1/analyses/3/override", wish, token=secret).status_code == 200
        yield running, traffic


@pytest.fixture
def look(chromium: Browser, stage: tuple[Running, Traffic]) -> Iterator[Look]:
    """Whatever a test does: nothing leaves loopback, and the console stays empty."""
    with looking(chromium) as opened:
        yield opened
        assert opened.complaints == []
        assert {url.split("/")[2] for url in opened.asked if not url.startswith("data:")} == {address(stage[0])[7:]}


def address(running: Running) -> str:
    return f"http://127.0.0.1:{running.port}"


def rate(value: float | None) -> str:
    return "0.0" if not value else f"{100 * value:.1f}" if value >= 0.000995 else f"{100 * value:.1g}"


@pytest.mark.parametrize(("number", "name"), [(1, "rolled-back"), (2, "promoted"), (3, "rolling-out")])
def test_every_number_is_the_apis(look: Look, stage: tuple[Running, Traffic], number: int, name: str) -> None:
    running, _ = stage
    look.open(f"{address(running)}/?analysis={number}")
    look.keep(name)
    view, shown = stable(look, lambda: running.analysis(number), SHOWN)
    assert shown["reason"] == f"{view['decision']}: {view['reason']}"
    facts = " ".join(shown["facts"].split())
    assert f"canary requests {view['canary_requests']:,} " in facts
    assert f"failed {view['failed']:,} " in facts
    assert f"odds for a rollback {view['odds']} of {view['odds_needed_rollback']}" in facts
    assert shown["metrics"].keys() == view["metrics"].keys()
    for metric in view["metrics"].values():
        cells = shown["metrics"][metric["name"]]
        assert (cells["worse"], cells["no-worse"]) == (metric["odds_rollback"], metric["odds_noninferior"])
        for arm in ("c", "b"):
            assert cells[f"counted-{arm}"] == f"{metric[f'e_{arm}']:,} of {metric[f'n_{arm}']:,}"
            value, low, high = (metric[f"rate_{arm}{end}"] for end in ("", "_low", "_high"))
            told = "no data" if value is None else f"{rate(value)} % ({rate(low)}-{rate(high)})"
            assert cells[f"rate-{arm}"] == told
        if metric["role"] == "guardrail" and not metric["passes"] and metric["needs"] is not None:
            assert cells["needs"].startswith(f"about {metric['needs']:,} more")


def test_all_polls_are_reached_and_are_the_apis(look: Look, stage: tuple[Running, Traffic]) -> None:
    running, _ = stage
    look.open(f"{address(running)}/?analysis=2")
    found: list[list[str]] = []
    while True:
        rows = look.page.locator("tr[data-poll]")
        found += [[cell.strip() for cell in row.split("\t")] for row in rows.all_inner_texts()]
        older, last = look.page.locator("a[data-key=older]"), found[-1][0]
        if not older.count():
            break
        older.click()
        look.page.wait_for_function(
            "n => document.querySelector('tr[data-poll]').dataset.poll === String(n - 1)", arg=int(last)
        )
    polls = running.polls(2)
    assert [int(row[0]) for row in found] == list(range(len(polls), 0, -1))
    for row, poll in zip(found, reversed(polls), strict=True):
        step = "bake" if poll["step"] < 0 else f"{poll['step']} %"
        assert row[2].split() == [poll["metric"], *([poll["part"]] if poll["part"] else [])]
        assert row[3:] == [step, f"{poll['e_c']:,} of {poll['n_c']:,}", f"{poll['e_b']:,} of {poll['n_b']:,}"]


def test_it_goes_on_without_a_reload_and_disturbs_nobody(look: Look, stage: tuple[Running, Traffic]) -> None:
    """What was opened stays open, what has the focus keeps it, and nothing that was read moves away."""
    running, traffic = stage
    look.open(f"{address(running)}/?analysis=3")
    look.page.evaluate("window.kept = 1")
    look.page.locator("details[data-key=parts-latency] summary").click()
    look.page.locator("a[data-key=row-1]").focus()
    top = look.page.evaluate("document.querySelector('[data-metric=errors]').offsetTop")
    before = running.analysis(3)["metrics"]["errors"]["n_c"]
    traffic.more(20, 6, canary=LIVE, primary="m2-fedcba0")
    cell = "[data-metric=errors] [data-value=counted-c]"
    look.page.wait_for_function(
        "([cell, n]) => !document.querySelector(cell).innerText.endsWith(` ${n}`)", arg=[cell, before]
    )
    view, shown = stable(look, lambda: running.analysis(3), SHOWN)
    assert view["metrics"]["errors"]["n_c"] > before
    assert shown["metrics"]["errors"]["counted-c"].endswith(f"of {view['metrics']['errors']['n_c']}")
    assert look.page.evaluate("window.kept") == 1
    assert look.page.evaluate("document.querySelector('details[data-key=parts-latency]').open")
    assert look.page.evaluate("document.activeElement.dataset.key") == "row-1"
    assert look.page.evaluate("document.querySelector('[data-metric=errors]').offsetTop") == top
    assert "ada (oncall)" in look.text("[data-analysis] .notice")
    assert "the sale <b>begins</b>" in look.text("[data-analysis] .notice")


def test_a_release_is_chosen_with_the_keyboard(look: Look, stage: tuple[Running, Traffic]) -> None:
    look.open(address(stage[0]))
    assert look.page.get_attribute("[data-analysis]", "data-analysis") == "3"
    for _ in range(40):
        look.page.keyboard.press("Tab")
        if look.page.evaluate("document.activeElement.dataset.key") == "row-1":
            break
    look.page.keyboard.press("Enter")
    look.page.wait_for_selector("[data-analysis='1']")
    assert look.text(".headline") == "Rolled back"
    assert f"{NEW} against {OLD}" in look.text("[data-analysis]")
    assert look.page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"
    look.page.go_back()
    look.page.wait_for_selector("[data-analysis='3']")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_well_on_a_phone_by_day_and_night(
    chromium: Browser, stage: tuple[Running, Traffic], scheme: Literal["light", "dark"]
) -> None:
    """No line runs out of the screen, and every text stands out by 4.5 to 1."""
    with looking(chromium, scheme=scheme, size=PHONE) as look:
        for number in (1, 2, 3):
            look.open(f"{address(stage[0])}/?analysis={number}")
            assert look.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
            faint = [(text, ratio) for ratio, text in look.page.evaluate(CONTRAST) if ratio < 4.5]
            assert faint == []
        look.keep(f"{scheme}-phone")


def on_axis(plot: Locator, value: float, *, log: bool) -> float:
    """Where a value belongs, from two of the drawn ticks: in units of the drawing."""
    ticks = plot.locator("path[data-tick]")
    ends = [(float(tick.get_attribute("data-tick") or 0), height(tick)) for tick in (ticks.first, ticks.last)]
    (v0, y0), (v1, y1) = ((math.log(v) if log else v, y) for v, y in ends)
    return y0 + (y1 - y0) * ((math.log(value) if log else value) - v0) / (v1 - v0)


def height(path: Locator) -> float:
    return float((path.get_attribute("d") or "").split(",")[1].split("L")[0])


def colour(look: Look, name: str) -> tuple[int, ...]:
    shown = look.page.evaluate("name => getComputedStyle(document.documentElement).getPropertyValue(name)", f"--{name}")
    return ImageColor.getrgb(shown.strip())


def near(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(abs(x - y) <= 90 for x, y in zip(a, b, strict=False))


def test_the_lines_are_painted_where_the_apis_numbers_are(look: Look, stage: tuple[Running, Traffic]) -> None:
    """The threshold, the margins, the end of the mean and both ends of the band, in pixels of the screen."""
    running, _ = stage
    look.open(f"{address(running)}/?analysis=1")
    view, trace = running.analysis(1), running.get("/api/v1/analyses/1/trace").json()
    evidence, band = (look.page.locator(f"svg[data-plot={name}]") for name in ("evidence", "band-errors"))
    metric = view["metrics"]["errors"]
    wanted = [
        (evidence, view["threshold_rollback"], "bad", False),
        (band, metric["odds_ratio_rollback"], "bad", True),
        (band, metric["odds_ratio_promote"], "good", True),
        (band, 1.0, "ink", True),
    ]
    for plot, value, ink, log in wanted:
        picture, scale = look.paints(plot)
        row = round(on_axis(plot, value, log=log) * scale["y"])
        paint = [
            any(near(picture.getpixel((x, y)), colour(look, ink)) for y in (row - 1, row, row + 1))  # type: ignore[arg-type]
            for x in range(round(60 * scale["x"]), round(280 * scale["x"]))
        ]
        assert sum(paint) > 0.4 * len(paint), f"{ink} at {value}"
    last = trace[-1]["metrics"]["errors"]
    for end in ("low", "high"):
        path, wanted_at = band.locator(f"path[data-end={end}]"), on_axis(band, last[f"odds_{end}"], log=True)
        drawn = (path.get_attribute("d") or "").split(",")[-1] if path.count() else ""
        assert float(drawn) == pytest.approx(wanted_at, abs=0.2) if drawn else not 12 <= wanted_at <= 184
    mean = (evidence.locator("path[data-curve='all metrics']").get_attribute("d") or "").split(",")[-1]
    assert float(mean) == pytest.approx(on_axis(evidence, trace[-1]["log_e_mean"], log=False), abs=0.2)


def test_the_report_is_whole_without_the_judge(
    chromium: Browser, stage: tuple[Running, Traffic], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Saved, and opened from the disk: the sentence, all plots, and nothing asked of anybody."""
    running, _ = stage
    saved = tmp_path_factory.mktemp("saved") / "report.html"
    saved.write_bytes(running.get("/api/v1/analyses/1/report.html").content)
    with looking(chromium) as look:
        look.page.goto(saved.as_uri())
        look.keep("report")
        assert look.text(".sentence") == running.analysis(1)["sentence"]
        assert look.asked == [saved.as_uri()]
        assert look.complaints == []
        for plot in look.page.locator("svg").all():
            picture, _ = look.paints(plot)
            assert len(picture.getcolors(maxcolors=1 << 20) or []) > 8


def test_it_says_when_nothing_is_there_and_when_the_judge_is_gone(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with judge(tmp_path_factory.mktemp("empty")) as running, looking(chromium) as look:
        look.open(address(running))
        look.keep("empty")
        assert look.text(".headline") == "Nothing yet"
        running.kill()
        look.page.wait_for_selector("#gone:not([hidden])")
        look.keep("gone")
        assert "The judge does not answer" in look.text("#gone")
        assert look.text(".headline") == "Nothing yet", "what was shown stays"
