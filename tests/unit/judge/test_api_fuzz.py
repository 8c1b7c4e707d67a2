"""Whatever is sent, the judge answers with what its OpenAPI document says, and a refused request changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as documented

from coalmine.judge.hooks import KINDS
from coalmine.judge.tokens import add
from unit.judge.running import Running, Traffic, begin, judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
REFUSED = (400, 401, 403, 404, 405, 413, 422)
BOUNDED = settings(max_examples=30, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
CHECKS = (documented.response_schema_conformance, documented.content_type_conformance)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A judge with an analysis in the middle of its rollout."""
    folder = tmp_path_factory.mktemp("fuzz")
    add(folder / "tokens.json", "any", may=("push", "override"))
    with judge(folder, more={"--tokens": folder / "tokens.json"}) as process:
        begin(process)
        traffic = Traffic(process, behind=-3600)
        traffic.step(30, 5)
        assert process.hook("rollout")[0] == 200
        yield process


@pytest.fixture(scope="module")
def token(running: Running) -> str:
    return add(running.folder / "tokens.json", "fuzz", may=("push", "override"))


def stored(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that a request could change; the lease and what the log's reader did go on by themselves."""
    tables = ("polls", "events", "overrides", "pushed")
    with closing(sqlite3.connect(f"file:{folder / 'judge.db'}?mode=ro", uri=True)) as direct:
        found = {table: direct.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables}
        rows = direct.execute("SELECT id, status, outcome, ended, final, policy, granted FROM analyses ORDER BY id")
        return {**found, "analyses": rows.fetchall()}


def hold_to_the_document(
    running: Running, case: schemathesis.Case[Any], told: dict[str, object], *, token: str
) -> None:
    """One request. `told` are the statuses that the document names; without a token nothing may be changed."""
    before = stored(running.folder)
    case.headers["Authorization"] = f"Bearer {token or 'nobody'}"
    response = case.call(timeout=20)
    # A standby, or one that is not well, says so by 503; this one is neither.
    assert response.status_code < 500, (response.status_code, response.content)
    assert b"Traceback" not in response.content
    assert str(response.status_code) in told or response.status_code in REFUSED
    if str(response.status_code) in told:
        # FastAPI documents an error of a page as a page; it is JSON all the same.
        checks = CHECKS if response.status_code < 300 else CHECKS[:1]
        case.validate_response(response, checks=list(checks))
    if response.status_code in REFUSED:
        assert stored(running.folder) == before
    if "/override" in case.path or case.path.endswith("/push"):
        assert token or response.status_code in REFUSED


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("known", ["known", "unknown"])
def test_every_operation_keeps_to_its_document(running: Running, token: str, mode: GenerationMode, known: str) -> None:
    """With a token and without; with what the document allows, and with what it does not."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{running.port}/openapi.json")
    paths = running.get("/openapi.json").json()["paths"]
    guarded = ("/api/v1/push", "/api/v1/analyses/{number}/override")
    operations = [cast("Any", result).ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {*guarded, "/hooks/{kind}", "/api/v1/policy/check"}
    for operation in operations:
        if known == "unknown" and operation.path not in guarded:
            continue  # no token is looked at there
        told = paths[operation.path][operation.method]["responses"]
        try:
            _try_all(running, operation, told, mode=mode, token=token if known == "known" else "")
        except Unsatisfiable:
            continue  # nothing about this operation can be wrong
        except BaseException as error:
            error.add_note(f"{operation.method} {operation.path}")
            raise
    assert "Traceback" not in running.said


def _try_all(running: Running, operation: Any, told: dict[str, object], *, mode: GenerationMode, token: str) -> None:
    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case[Any]) -> None:
        hold_to_the_document(running, case, told, token=token)

    run()


WORDS = st.sampled_from(["a", "sentiment", "", "../x", "x" * 300, "\x00", "ünï", "a b"]) | st.text(max_size=20)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "namespace": WORDS,
        "checksum": WORDS,
        "phase": st.sampled_from(["Progressing", "Succeeded", "Failed", "?", "x" * 70]),
        "metadata": st.dictionaries(WORDS, WORDS, max_size=3) | st.none() | st.integers(),
        "more": st.recursive(st.none() | st.floats() | st.text(), st.lists, max_leaves=5),
    },
)


@settings(max_examples=150, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from([*KINDS, "nothing", "%00"]), body=PAYLOADS | st.binary(max_size=200))
def test_any_body_of_a_hook_is_answered_and_a_refused_one_changes_nothing(
    running: Running, kind: str, body: dict[str, object] | bytes
) -> None:
    before = stored(running.folder)
    url = f"http://127.0.0.1:{running.port}/hooks/{kind}"
    if isinstance(body, bytes):
        answer = running.client.post(url, content=body)
    else:
        answer = running.client.post(url, content=json.dumps(body))  # NaN goes out as Python writes it
    assert answer.status_code in (200, 400, 404, 409), answer.text
    assert "Traceback" not in answer.text
    if answer.status_code in REFUSED:
        assert stored(running.folder) == before
