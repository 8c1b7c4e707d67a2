"""A run of the Pulumi program without an engine and without a cloud: what it would register, recorded.

Pulumi's own mocks answer it. Nothing is reached over a network, so this says that the program hangs together and what
it asks for; whether a cloud grants it, only a cloud can say.
"""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime.settings import configure, set_root_resource
from pulumi.runtime.stack import run_in_stack

from coalmine.infra import config
from coalmine.infra.config import KEY, SEED, Stack

PROJECT = "coalmine"
# How Pulumi's protocol marks a value: pulumi/runtime/rpc.py, and the engine's own sources.
_ENVELOPE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
CANARY = "canary-seed-that-must-never-be-seen-in-plain-text"  # the stack's secret in a rehearsal


@dataclass(frozen=True, slots=True)
class Resource:
    """One registration. `secret`: the paths of its inputs that Pulumi keeps encrypted; `raw`: as they were sent."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    protect: bool
    retain: bool
    custom: bool
    parent: str
    secret: frozenset[str] = frozenset()
    raw: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All that one run registered, in order, and what it exported."""

    stack: Stack
    resources: tuple[Resource, ...]
    outputs: Mapping[str, Any]
    raw_outputs: str = field(default="", repr=False)

    def of(self, kind: str) -> list[Resource]:
        """Those of a type, by its token."""
        return [one for one in self.resources if one.type == kind]


class _Answers(pulumi_mocks.Mocks):
    """What a cloud would answer: the inputs, and the few outputs that the program reads."""

    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        name = args.inputs.get("name") or args.name
        made: dict[str, Any] = {
            "arn": f"arn:aws:mock:::{args.name}",
            "name": name,
            "email": f"{args.inputs.get('accountId', name)}@mock.iam.gserviceaccount.com",
            "endpoint": "192.0.2.1",
            "address": "192.0.2.2",
            "privateIpAddress": "192.0.2.3",
            "certificateAuthority": {"data": "bW9jaw=="},
            "masterAuth": {"clusterCaCertificate": "bW9jaw=="},
            "repositoryUrl": f"mock.example.com/{name}",
            "registryUri": f"mock.example.com/{name}",
            "zoneId": "Z0MOCK",
            "nameServers": ["ns1.mock.example.com"],
            "vpcConfig": {"clusterSecurityGroupId": "sg-mock"},
            "resources": [{"autoscalingGroups": [{"name": f"{name}-group"}]}],
        }
        return f"{args.name}-id", made | args.inputs | {
            "vpcConfig": {**made["vpcConfig"], **args.inputs.get("vpcConfig", {})}
        }

    def call(self, args: pulumi_mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return {"number": "123456789012", "accountId": "123456789012", "id": "mock", **args.args}, []


class _Monitor(pulumi_mocks.MockMonitor):
    """Notes each registration with the options that Pulumi's own mocks leave out."""

    def __init__(self, answers: pulumi_mocks.Mocks) -> None:
        super().__init__(answers)
        self.seen: list[Resource] = []
        self.outputs: Mapping[str, Any] = {}
        self.raw_outputs = ""

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's own name
        if request.type != "pulumi:pulumi:Stack":
            self.seen.append(_resource(request))
        with _loop_of_thread():
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]  # Pulumi's

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - gRPC's own name
        with _loop_of_thread():
            return super().Invoke(request)  # type: ignore[no-untyped-call]  # Pulumi's

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - gRPC's own name
        if request.urn.split("::")[2] == "pulumi:pulumi:Stack":  # a part's begins with it
            sent = json_format.MessageToDict(request.outputs)
            self.outputs, self.raw_outputs = dict(_plain(sent)), json.dumps(sent)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]  # Pulumi's


def rehearse(folder: Path, stack: Stack, given: Mapping[str, Any], *, seed: str = CANARY) -> Rehearsal:
    """Run `<folder>/__main__.py` for a stack whose configuration is `given`. Raises what the program raises."""
    monitor = _Monitor(_Answers())
    values = {KEY: json.dumps(given), SEED: seed}
    with _as_program(folder):
        _run(folder, stack.name, values, monitor)
    return Rehearsal(stack, tuple(monitor.seen), monitor.outputs, monitor.raw_outputs)


def of(folder: Path, name: str) -> Rehearsal:
    """Of a stack's file. Raises BadInput where its configuration is wrong."""
    stack = config.load(folder, name)
    given = yaml.safe_load((folder / f"Pulumi.{name}.yaml").read_text(encoding="utf-8"))["config"][KEY]
    return rehearse(folder.resolve(), stack, given)


def _run(folder: Path, stack: str, values: Mapping[str, Any], monitor: _Monitor) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        features = set(monitor.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures)  # type: ignore[no-untyped-call]
        engine = pulumi_mocks.MockEngine(logging.getLogger("coalmine.infra"))
        configure(
            pulumi_mocks.MockSettings(  # type: ignore[no-untyped-call]  # Pulumi's
                monitor=monitor,
                monitor_features=features,
                engine=engine,
                project=PROJECT,
                stack=stack,
                dry_run=False,
                organization="organization",
                callbacks=None,
            )
        )
        set_root_resource(None)  # type: ignore[arg-type]  # a run before this one left its own
        pulumi.runtime.set_all_config(dict(values), [SEED])
        loop.run_until_complete(run_in_stack(lambda: _program(folder)))
    finally:
        _end(loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Nothing of a run is left, also where the program failed with much still under way."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


@contextmanager
def _loop_of_thread() -> Iterator[None]:
    """Pulumi's mocks answer in threads and give each a loop that nobody closes: here it is closed."""
    yield
    if threading.current_thread() is not threading.main_thread():
        with suppress(RuntimeError):  # this answer needed none
            asyncio.get_event_loop_policy().get_event_loop().close()
        asyncio.set_event_loop(None)


def _program(folder: Path) -> None:
    runpy.run_path(str(folder / "__main__.py"), run_name="__main__")


@contextmanager
def _as_program(folder: Path) -> Iterator[None]:
    """The program's folder is where its modules are found, as the engine has it."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _resource(request: Any) -> Resource:
    sent = json_format.MessageToDict(request.object)
    return Resource(
        type=request.type,
        name=request.name,
        inputs=_plain(sent),
        protect=bool(request.protect),
        retain=bool(request.retainOnDelete),
        custom=bool(request.custom),
        parent=request.parent,
        secret=frozenset(_secret(sent)),
        raw=json.dumps(sent),
    )


def _plain(value: Any) -> Any:
    """Without the envelopes in which secrets travel."""
    if isinstance(value, dict):
        if _ENVELOPE in value:
            return _plain(value.get("value"))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _secret(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        if value.get(_ENVELOPE) == _SECRET:
            yield path
            return
        for key, item in value.items():
            yield from _secret(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _secret(item, f"{path}.{place}".lstrip("."))
