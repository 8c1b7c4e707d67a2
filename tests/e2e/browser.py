"""A real Chromium over the judge's page: what it asks for, what it complains of, and what it paints."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

PHONE, DESK = (390, 844), (1180, 900)

# Every text that is seen, with its contrast against what lies behind it (WCAG 2.2, relative luminance).
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = text => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const over = (top, under) => [0, 1, 2].map(i => (top[i] * top[3] + under[i] * (255 - top[3])) / 255).concat(255);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = node => { const own = rgb(getComputedStyle(node).backgroundColor);
    return own[3] === 255 || !node.parentElement ? own : over(own, behind(node.parentElement)); };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility() || ![...node.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(node);
    const ink = rgb(node.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(node))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), node.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@dataclass
class Look:
    """One page of a browser, with what it asked for and what it complained of."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector("main[aria-busy=false]")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def keep(self, name: str) -> None:
        """COALMINE_SCREENSHOTS=<folder> keeps the pictures to look at."""
        if folder := os.environ.get("COALMINE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def paints(self, plot: Locator) -> tuple[Image.Image, dict[str, float]]:
        """The plot's pixels, and how many of them one unit of its drawing takes."""
        plot.scroll_into_view_if_needed()
        picture = Image.open(io.BytesIO(plot.screenshot())).convert("RGB")
        width, height = (float(size) for size in str(plot.get_attribute("viewBox")).split()[2:])
        return picture, {"x": picture.width / width, "y": picture.height / height}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@contextmanager
def looking(
    browser: Browser, *, scheme: Literal["light", "dark"] = "light", size: tuple[int, int] = DESK
) -> Iterator[Look]:
    context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, locale="en-GB")
    look = Look(context.new_page())
    look.page.on("request", lambda request: look.asked.append(request.url))
    look.page.on("pageerror", lambda error: look.complaints.append(str(error)))
    look.page.on("console", lambda said: look.complaints.append(said.text) if said.type != "log" else None)
    try:
        yield look
    finally:
        context.close()


def stable(look: Look, api: Callable[[], dict[str, Any]], script: str) -> tuple[dict[str, Any], Any]:
    """What the API says and what the page shows at one moment: the API said the same before and after."""
    for _ in range(40):
        before = api()
        shown = look.page.evaluate(script)
        if _still(api()) == _still(before) and shown["sentence"] == before["sentence"]:
            return before, shown
        look.page.wait_for_timeout(150)
    pytest.fail("the page and the API never agreed")


def _still(view: dict[str, Any]) -> dict[str, Any]:
    """Without what grows with the time alone."""
    metrics = {
        name: {key: value for key, value in metric.items() if key not in {"arrival", "needs_seconds"}}
        for name, metric in view["metrics"].items()
    }
    return {key: value for key, value in view.items() if key not in {"promotion", "sentence"}} | {"metrics": metrics}
