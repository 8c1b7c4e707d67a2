"""Tokens: kept as digests in a file of its owner's alone, with rights and namespaces; never in a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from coalmine.cli import app
from coalmine.errors import BadInput
from coalmine.judge import client, logs
from coalmine.judge.tokens import Forbidden, Tokens, Unauthorized, add, read, write_secret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "tokens.json"


def test_a_token_may_what_it_was_made_for_and_nothing_else(path: Path) -> None:
    pusher = add(path, "ci", may=("push",), namespaces=("shop",))
    person = add(path, "ann", may=("override", "push"))
    tokens = Tokens(path)
    tokens.check(pusher, "push").require("push", "shop")
    tokens.check(person, "override").require("override", "anywhere")
    with pytest.raises(Forbidden, match="in namespace other"):
        tokens.check(pusher, "push").require("push", "other")
    with pytest.raises(Forbidden, match="ci may not override"):
        tokens.check(pusher, "override")


@pytest.mark.parametrize("secret", [None, "", "cmj_wrong", "\udcff", "x" * 10_000])
def test_without_a_known_token_nobody_gets_in(path: Path, secret: str | None) -> None:
    add(path, "ci", may=("push",))
    with pytest.raises(Unauthorized):
        Tokens(path).check(secret, "push")


def test_without_a_file_nobody_may_and_the_remedy_is_named() -> None:
    with pytest.raises(Forbidden) as caught:
        Tokens(None).check("x", "override")
    assert "coalmine judge token" in caught.value.remedy


def test_the_file_holds_no_secret_and_is_its_owners_alone(path: Path) -> None:
    secret = add(path, "ci", may=("push",))
    write_secret(path.with_name("mine"), secret)
    assert secret not in path.read_text()
    assert [oct(file.stat().st_mode & 0o777) for file in (path, path.with_name("mine"))] == ["0o600", "0o600"]
    assert client.secret(path.with_name("mine")) == secret


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    add(path, "ci", may=("push",))
    path.chmod(mode)
    with pytest.raises(BadInput, match="others than its owner") as caught:
        Tokens(path)
    assert caught.value.remedy.startswith("chmod 600")


def test_a_token_is_replaced_or_taken_out_while_the_judge_runs(path: Path) -> None:
    old = add(path, "ci", may=("push",))
    tokens = Tokens(path)
    new = add(path, "ci", may=("push",))
    assert tokens.check(new, "push").name == "ci"
    with pytest.raises(Unauthorized):
        tokens.check(old, "push")
    path.write_text('{"tokens": []}')
    with pytest.raises(Unauthorized):
        tokens.check(new, "push")


ROW = {"name": "a", "sha256": "0" * 64, "may": ["push"]}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"tokens": 1}', json.dumps({"tokens": [{**ROW, "may": ["everything"]}]}),
     json.dumps({"tokens": [{**ROW, "sha256": "x"}]}), json.dumps({"tokens": [{"name": "a"}]})],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_a_users_mistake(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(BadInput):
        read(path)


def test_the_command_shows_the_secret_once_and_refuses_unknown_rights(path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["judge", "token", "ci", "--may", "push", "--namespace", "shop", "--tokens", str(path)])
    assert Tokens(path).check(done.stdout.strip(), "push").namespaces == ("shop",)
    with pytest.raises(BadInput, match="which rights"):
        add(path, "ci", may=("fly",))
    with pytest.raises(BadInput, match="no name"):
        add(path, "a b", may=("push",))


def test_a_secret_comes_from_a_file_or_the_environment_and_never_from_nowhere(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("cmj_own\n")
    assert client.secret(None, own=own, environ={}) == "cmj_own"
    assert client.secret(None, own=own, environ={client.ENVIRONMENT: "cmj_env"}) == "cmj_env"
    with pytest.raises(BadInput):
        client.secret(None, own=tmp_path / "none", environ={})
    with pytest.raises(BadInput):
        client.secret(tmp_path / "none", environ={})


def test_no_line_of_the_log_holds_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Even one that slipped into an error's text."""
    before = structlog.get_config()
    try:
        logs.begin("json")
        structlog.get_logger().error("request failed", error="header Bearer cmj_abc-DEF_1: bad", analysis=3)
    finally:
        structlog.configure(**before)
    line = json.loads(capsys.readouterr().err)
    assert line["error"] == "header Bearer cmj_***: bad"
    assert (line["level"], line["event"], line["analysis"], "time" in line) == ("error", "request failed", 3, True)
