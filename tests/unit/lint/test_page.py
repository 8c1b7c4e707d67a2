"""The page on the rules is what the rules say."""

from __future__ import annotations

from coalmine.lint import RULES
from coalmine.lint.page import AREAS, page
from unit.lint.page import PAGE


def test_the_page_is_written_from_the_rules() -> None:
    """Else: `.venv/bin/python tests/unit/lint/page.py` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page(RULES)


def test_each_rule_is_of_an_area() -> None:
    """Its id's hundred has a heading."""
    assert {rule.id[2] for rule in RULES.values()} <= set(AREAS)
