"""The difference of two renderings, as it stands under a pull request."""

from __future__ import annotations

import pytest

from coalmine.forge.diff import LIMIT, Difference, differences, failures, markdown
from coalmine.forge.rendered import Rendered

ROOT = "gitops/clusters/bench"


def config_map(name: str, value: str, *, kind: str = "ConfigMap") -> str:
    return f"apiVersion: v1\ndata:\n  key: {value}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: shop"


def between(old: str | None, new: str | None) -> list[Difference]:
    sides = [{ROOT: Rendered((text,))} if text else {} for text in (old, new)]
    return list(differences(*sides))


def test_what_is_the_same_is_not_shown() -> None:
    """And so said."""
    assert between(config_map("a", "1"), config_map("a", "1")) == []
    assert "Nothing that is rendered changes." in markdown([], ())


@pytest.mark.parametrize(
    ("old", "new", "how", "line"),
    [("1", "2", "changed", "+  key: 2"), (None, "2", "added", "+  key: 2"), ("1", None, "removed", "-  key: 1")],
)
def test_an_object_is_added_changed_or_removed(old: str | None, new: str | None, how: str, line: str) -> None:
    """By its kind, namespace and name."""
    found = between(old and config_map("a", old), new and config_map("a", new))
    assert [(one.root, one.title, one.how) for one in found] == [(ROOT, "ConfigMap shop/a", how)]
    assert line in found[0].lines


def test_a_generated_name_changes_with_its_content_and_stays_one_object() -> None:
    """kustomize appends a hash; a name that only looks long is kept."""
    found = between(config_map("rules-7bk9mt5f2h", "1"), config_map("rules-245d6c8kgm", "2"))
    assert [(one.title, one.how) for one in found] == [("ConfigMap shop/rules", "changed")]
    kept = between(config_map("rules-production", "1"), None)
    assert kept[0].title == "ConfigMap shop/rules-production"


def test_a_secrets_values_are_not_shown() -> None:
    """Only that there is another."""
    old, new = config_map("a", "c2VjcmV0", kind="Secret"), config_map("a", "b3RoZXI=", kind="Secret")
    text = markdown(between(old, new), ())
    assert "another value" in text
    assert "c2VjcmV0" not in text
    assert "b3RoZXI=" not in text
    assert "c2VjcmV0" not in markdown(between(old, None), ()) + markdown(between(None, old), ())


def test_a_comment_fits_and_says_what_is_left_out() -> None:
    """A forge refuses a comment above its limit."""
    new = {f"gitops/apps/{n}": Rendered((config_map("a", "x" * 5000),)) for n in range(40)}
    text = markdown(list(differences({}, new)), ())
    assert len(text) <= LIMIT
    assert "40 added." in text
    assert "29 more objects change" in text


def test_text_from_a_pull_request_does_not_leave_its_fence() -> None:
    """Nor mention anybody outside of it."""
    found = between(None, config_map("a", "'```` @all <b>'"))
    text = markdown([Difference(ROOT, "ConfigMap <script>@all", "added", found[0].lines)], ())
    assert "\n`````diff\n" in text
    assert "<script>" not in text
    assert text.count("@all") == 1


def test_what_does_not_render_is_told_first() -> None:
    """In kustomize's own words."""
    failed = failures({}, {ROOT: Rendered(error="no such file")})
    text = markdown([], failed)
    assert text.index("does not render") < text.index("no such file")
