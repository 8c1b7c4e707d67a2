"""The reference names all that there is, with its default: what is added without a line there fails here."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from coalmine import errors
from coalmine.edge import render
from coalmine.infra import config, policies
from coalmine.judge import hooks
from coalmine.judge.policy import KINDS, Policy
from coalmine.records import Outcome
from coalmine.release.faults import Faults
from coalmine.rollout import schema
from coalmine.settings import Ports, Settings
from unit.docs.commands import PAGE
from unit.docs.commands import render as render_commands

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"


def text(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def row(page: str, key: str) -> str:
    """The table's row that begins with this key in code letters. Fails where there is none."""
    found = re.search(rf"^\| `{re.escape(key)}`.*$", page, re.MULTILINE)
    assert found, f"no row on {key}"
    return found[0]


def test_the_page_on_commands_is_what_the_program_says() -> None:
    """Else: `.venv/bin/python tests/unit/docs/commands.py` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == render_commands()


@pytest.mark.parametrize("key", [*Settings.model_fields, *Ports.model_fields])
def test_each_setting_has_its_row_and_default(key: str) -> None:
    """A port's number, and each plain default of a setting."""
    found = row(text("settings.md"), key)
    default = (Settings.model_fields | Ports.model_fields)[key].get_default()
    if isinstance(default, int):
        assert f"`{str(default).lower()}`" in found  # as TOML writes it
    elif isinstance(default, str) and key != "model":  # empty means: the only one there is
        assert f'`"{default}"`' in found


@pytest.mark.parametrize("key", sorted(set(Policy.model_fields) - {"metrics", "bake", "prometheus"}))
def test_each_policy_field_has_its_row_and_default(key: str) -> None:
    """Those of the whole."""
    default = Policy.model_fields[key].get_default(call_default_factory=True)
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    assert f"`{shown}`" in row(text("policy.md"), key)


def test_each_metrics_fields_have_their_rows_and_defaults() -> None:
    """Those that all kinds share, and those of one kind only."""
    page = text("policy.md")
    assert f"`{Policy().bake.seconds}`" in row(page, "bake.seconds")
    common = set.intersection(*(set(kind.model_fields) for kind in KINDS.values()))
    for name, kind in KINDS.items():
        for key, field in kind.model_fields.items():
            found = row(page, key if key in common else f"{name}.{key}")
            if isinstance(field.default, int | float):
                assert f"`{field.default}`" in found, (name, key)


def test_each_exit_code_has_its_row() -> None:
    """With the kind of error that ends with it."""
    base = errors.CoalmineError
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, base)]
    assert errors.BadInput in kinds
    for kind in kinds:
        assert re.search(rf"^\| {kind.exit_code} \| `{kind.__name__}` ", text("exit-codes.md"), re.MULTILINE), kind


def test_each_fault_and_each_outcome_is_told() -> None:
    """Where people look for them: in the guides."""
    guides = ROOT / "docs" / "how-to"
    drill = (guides / "drill.md").read_text(encoding="utf-8")
    assert all(f"| `{field.name}=" in drill for field in dataclasses.fields(Faults))
    verdicts = (guides / "read-a-verdict.md").read_text(encoding="utf-8")
    assert all(f"| `{outcome}` |" in verdicts for outcome in Outcome)


def test_each_field_of_the_access_log_has_its_row_in_order() -> None:
    """The names as nginx's template writes them."""
    template = (ROOT / "nginx" / "log.conf.j2").read_text(encoding="utf-8")
    written = re.findall(r'"([a-z_]+)":', template.partition("log_format json")[2])
    assert re.findall(r"^\| `([a-z_]+)`", text("access-log.md"), re.MULTILINE) == written


def test_each_hook_and_each_error_of_the_edge_is_told() -> None:
    """Names for machines beside their statuses."""
    page = text("http.md")
    assert all(f"`{kind}`" in page for kind in hooks.KINDS)
    for status, (name, _) in render.ERRORS.items():
        assert f"| {status} | `{name}` |" in page


@pytest.mark.parametrize("model", [schema.Spec, schema.Analysis, schema.Metric, schema.Webhook, schema.Provider])
def test_each_field_of_a_canary_is_told(model: type[BaseModel]) -> None:
    """As acted on, accepted, or refused; by Flagger's own spelling."""
    page = text("canary.md")
    names = {field.alias or name for name, field in model.model_fields.items()} - {"analysis"}
    assert not [name for name in names if not re.search(rf"\b{name}\b", page)]


def test_each_type_of_hook_of_the_schema_is_told() -> None:
    """The CRD's own list."""
    assert all(f"`{kind}`" in text("canary.md") for kind in get_args(schema.HookType) if kind)


INFRA = [("", config.Stack), ("pool.", config.Pool), ("tenant.", config.Tenant), ("database.", config.Database)]


@pytest.mark.parametrize(("prefix", "model"), INFRA)
def test_each_key_of_a_stacks_file_has_its_row_and_default(prefix: str, model: type[BaseModel]) -> None:
    """What has no default is required."""
    for key, field in model.model_fields.items():
        if key == "name" and model is config.Stack:
            continue  # the file's own name
        found = row(text("infra.md"), f"{prefix}{key}")
        if field.is_required():
            assert "| required |" in found
        elif not isinstance(field.default, BaseModel):
            shown = f'"{field.default}"' if isinstance(field.default, str) else str(field.default)
            assert f"`{shown}`" in found, key


def test_each_policy_on_infrastructure_has_its_row() -> None:
    assert all(f"| `{rule}` |" in text("infra.md") for rule in policies.RULES)
