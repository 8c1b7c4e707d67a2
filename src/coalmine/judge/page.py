"""The judge's page: one file that asks the judge every second for what is shown (`coalmine.judge.report.routes`)."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=2)
def render(*, drift: bool = False) -> str:
    """HTML without any external asset: the style that the reports have too, and the script, stand in it.

    `drift`: with a link to drift's page.
    """
    here = resources.files("coalmine.judge")
    style = here.joinpath("report", "templates", "style.css").read_text(encoding="utf-8")
    script = here.joinpath("page.js").read_text(encoding="utf-8")
    shell = here.joinpath("page.html").read_text(encoding="utf-8")
    shell = shell.replace("<!--drift-->", '<a href="drift">drift and health</a> &middot; ' if drift else "")
    return shell.replace("/*style*/", style).replace("/*script*/", script)
