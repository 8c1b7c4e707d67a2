"""The report as one HTML file: no script, no font, no request. Style, plots and most parts are the judge's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coalmine.judge.report.page import environment

_TEMPLATES = Path(__file__).parent / "templates"
_TONES = {"promoted": "good", "first_release": "good", "rolled_back": "bad"}


def render(facts: dict[str, Any]) -> str:
    """The page of one report's facts (`coalmine.release.report.gather`)."""
    links = {link["field"]: link["href"] for link in facts["links"]}
    template = environment(_TEMPLATES).get_template("release.html")
    return template.render(
        facts=facts,
        view=facts["evidence"],
        trace=facts["trace"],
        tone=_TONES.get(facts["verdict"], "wait"),
        changed=[_changed(row, links) for row in facts["changed"]] + [_commit(facts, links)],
        closing=[
            {"differs": False, "cells": [_cell(step), _cell(result)]} for step, result in facts["closing"].items()
        ],
    )


def _changed(row: dict[str, Any], links: dict[str, str]) -> dict[str, Any]:
    after = str(row["after"] or "") + ("" if row["differs"] else " (same)")
    name = _cell(row["field"].replace("_", " "))
    return {"differs": row["differs"], "cells": [name, _cell(row["before"]), _cell(after, links.get(row["field"], ""))]}


def _commit(facts: dict[str, Any], links: dict[str, str]) -> dict[str, Any]:
    """The commit that asked for the release: it is no part of the release itself."""
    cells = [_cell("asked for by commit"), _cell(""), _cell(facts["commit"], links.get("commit", ""))]
    return {"differs": False, "cells": cells}


def _cell(value: object, link: str = "") -> dict[str, str]:
    return {"text": "" if value is None else str(value), "link": link}
