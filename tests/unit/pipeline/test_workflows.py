"""Argo Workflows: what is committed is fresh, fits the CRDs, and is what the SDK's client submits."""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cluster import golang
from coalmine.pipeline.command import BEGIN, STEPS, chained

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "pipelines" / "workflows"
UPSTREAM = ("github.com/argoproj/argo-workflows/v3", "v3.7.3")  # its manifests hold the CRDs in full
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "make.py"))


def plain(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


def test_what_is_committed_is_what_the_program_makes(made: dict[str, Any]) -> None:
    """Else: `python pipelines/workflows/make.py`."""
    assert (FOLDER / "template.yaml").read_text(encoding="utf-8") == made["text"](made["template"]())
    assert (FOLDER / "cron.yaml").read_text(encoding="utf-8") == made["text"](made["cron"]())


@pytest.mark.parametrize(("name", "plural"), [("template.yaml", "workflowtemplates"), ("cron.yaml", "cronworkflows")])
def test_it_fits_the_crd_of_argo_workflows(name: str, plural: str) -> None:
    """The full schema of upstream's own release; an unknown field is an error there too."""
    folder = golang.download(*UPSTREAM) / "manifests" / "base" / "crds" / "full"
    crd = yaml.safe_load((folder / f"argoproj.io_{plural}.yaml").read_text(encoding="utf-8"))
    (version,) = [one for one in crd["spec"]["versions"] if one["name"] == "v1alpha1"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    wrong = [
        f"{list(e.instance_path)}: {e.message}" for e in jsonschema_rs.validator_for(schema).iter_errors(plain(name))
    ]
    assert not wrong
    assert list(jsonschema_rs.validator_for(schema).iter_errors(plain(name) | {"spec": {"unheard": 1}}))


def closed(schema: Any) -> Any:
    """With no other fields than those named, as an API server with strict validation has it."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", not schema["properties"])
    return found


def test_each_step_is_the_same_command_with_least_rights(made: dict[str, Any]) -> None:
    """One after the other; the word of one is the argument of the next."""
    spec = plain("template.yaml")["spec"]
    by_name = {one["name"]: one for one in spec["templates"]}
    order = [BEGIN, *STEPS]
    assert [task["name"] for task in by_name["retrain"]["dag"]["tasks"]] == order
    assert [task.get("dependencies", []) for task in by_name["retrain"]["dag"]["tasks"]] == [
        [],
        *([n] for n in order[:-1]),
    ]
    for name in order:
        container = by_name[name]["container"]
        assert container["args"] == chained(name, "{{workflow.name}}", "{{inputs.parameters.after}}", made["SAID"])
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert spec["securityContext"]["runAsNonRoot"] is True


class Server(HTTPServer):
    """Takes what is submitted, and answers with it as Argo's server does."""

    seen: list[tuple[str, dict[str, Any]]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))
        answer = json.dumps(body.get("template") or body.get("cronWorkflow") or {"metadata": {}, "spec": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's own name)
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.seen = []
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_the_sdks_client_submits_what_is_committed(made: dict[str, Any], server: Server) -> None:
    """The template and the cron by their services' own paths; then a run by hand."""
    made["submit"](f"http://127.0.0.1:{server.server_port}", namespace="models")
    assert [path for path, _ in server.seen] == [
        "/api/v1/workflow-templates/models",
        "/api/v1/cron-workflows/models",
        "/api/v1/workflows/models/submit",
    ]
    template, cron, run = (body for _, body in server.seen)
    assert template["template"] == plain("template.yaml")
    assert cron["cronWorkflow"] == plain("cron.yaml")
    assert run["resourceKind"] == "WorkflowTemplate"
    assert run["submitOptions"]["parameters"] == ["because=hand"]
