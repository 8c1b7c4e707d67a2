"""docs/reference/lint.md from the rules. `python tests/unit/lint/page.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

from coalmine.lint import RULES
from coalmine.lint.page import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "lint.md"

if __name__ == "__main__":
    PAGE.write_text(page(RULES), encoding="utf-8")
