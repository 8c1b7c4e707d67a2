"""Grafana's dashboards: rendered from their table, and each query asks Prometheus for something that exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.monitoring import dashboards
from manifests.monitoring.estate import ADDED, DASHBOARDS, Query, boards, emitted, queries, rules
from manifests.monitoring.promql import selectors
from manifests.monitoring.test_rules import promtool

ALL = list(queries())


@pytest.mark.parametrize("name", dashboards.BOARDS)
def test_the_json_is_what_the_table_renders(name: str) -> None:
    """Else: `.venv/bin/python tests/manifests/monitoring/dashboards.py` writes it anew."""
    assert (DASHBOARDS / name).read_text(encoding="utf-8") == dashboards.text(dashboards.BOARDS[name])


def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    """Each as a rule of its own, since promtool reads rules."""
    made = [{"record": f"asked:{place}", "expr": query.expr} for place, query in enumerate(ALL)]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": made}]}), encoding="utf-8")
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stderr
    assert f"{len(ALL)} rules found" in done.stdout


@pytest.mark.parametrize("query", ALL, ids=lambda query: f"{query.dashboard}:{query.panel}")
def test_each_query_asks_for_series_that_are_emitted(query: Query) -> None:
    """Or recorded by a rule; and by labels that they bear."""
    known, recorded = emitted(), {rule.name for rule in rules() if not rule.alert}
    asked = list(selectors(query.expr))
    assert asked
    for one in asked:
        assert one.name in known or one.name in recorded, f"nothing emits {one.name}"
        if one.name in known:
            assert one.labels <= known[one.name] | ADDED, f"{one.name} has no {set(one.labels - known[one.name])}"


@pytest.mark.parametrize("board", boards().values(), ids=boards())
def test_panels_have_ids_of_their_own_and_do_not_overlap(board: dict[str, Any]) -> None:
    """Grafana drops one of two panels with one id, and pushes aside what overlaps."""
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_dashboards_have_ids_of_their_own() -> None:
    """Links name them; Grafana refuses a uid above 40 characters."""
    uids = [board["uid"] for board in boards().values()]
    assert len(set(uids)) == len(uids)
    assert all(len(uid) <= 40 for uid in uids)


def test_variables_are_declared() -> None:
    """A query that names one that is not there returns nothing, silently."""
    for name, board in boards().items():
        declared = {variable["name"] for variable in board["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]+)", json.dumps([board["panels"], board["annotations"]])))
        assert used <= declared, name


def test_the_sidecar_finds_every_dashboard() -> None:
    """Each file in a ConfigMap with the label."""
    made = yaml.safe_load((DASHBOARDS / "kustomization.yaml").read_text(encoding="utf-8"))
    assert made["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    files = [file for one in made["configMapGenerator"] for file in one["files"]]
    assert files == sorted(path.name for path in DASHBOARDS.glob("*.json"))
