"""The steps' tiny project, with the parts of a runtime that a run needs: a repository to push to, and a policy."""

from __future__ import annotations

from unit.steps.conftest import commit, make_project, settings

__all__ = ["commit", "make_project", "settings"]
