"""Each kind's own schema, as its publisher ships it: Kubernetes' OpenAPI, and CRDs of the modules that gitops/ uses.

As strict as `kubectl apply --validate=strict`: a field that the schema lacks is a fault. Rules in CEL are not
evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema_rs import Draft202012Validator

from cluster.engines import module

Schema = dict[str, Any]
_CRDS = {
    "argocd": ["manifests/crds/*.yaml"],
    "cert-manager": ["deploy/crds/*.yaml"],
    "envoy-gateway": ["charts/gateway-crds-helm/templates/generated/*.yaml"],
    "flagger": ["artifacts/flagger/crd.yaml"],
    "gateway-api": ["config/crd/standard/*.yaml"],
}
_OPENAPI = "api/openapi-spec/v3"


def faults(one: Mapping[str, Any]) -> list[str]:
    """What the object's schema says against it. Raises KeyError for a kind that nobody publishes."""
    found = _validator(one["apiVersion"], one["kind"]).iter_errors(one)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in found]


@cache
def _validator(version: str, kind: str) -> Draft202012Validator:
    custom = _custom(version, kind)
    return Draft202012Validator(custom if custom is not None else _builtin(version, kind))


def _custom(version: str, kind: str) -> Schema | None:
    """From the one CRD that says it: some have a megabyte, so no other is parsed."""
    group, _, number = version.rpartition("/")
    for name, patterns in _CRDS.items():
        for file in (file for pattern in patterns for file in sorted(module(name).glob(pattern))):
            text = _plain(file)
            if f"\n  group: {group}\n" not in text or f"\n    kind: {kind}\n" not in text:
                continue
            for crd in yaml.load_all(text, Loader=yaml.CSafeLoader):
                if crd and (crd["spec"]["group"], crd["spec"]["names"]["kind"]) == (group, kind):
                    return next(_whole(one) for one in crd["spec"]["versions"] if one["name"] == number)
    return None


def _plain(file: Path) -> str:
    """Without the lines by which a chart includes its CRDs or not."""
    return "".join(line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if "{{-" not in line)


def _whole(version: Schema) -> Schema:
    schema: Schema = strict(version["schema"]["openAPIV3Schema"])
    known = schema.setdefault("properties", {})
    known |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return schema


def _builtin(version: str, kind: str) -> Schema:
    group, _, number = version.rpartition("/")
    name = f"apis__{group}__{number}_openapi.json" if group else f"api__{number}_openapi.json"
    schemas = _published(name)
    for key, schema in schemas.items():
        if {"group": group, "version": number, "kind": kind} in schema.get("x-kubernetes-group-version-kind", ()):
            return {"$ref": f"#/components/schemas/{key}", "components": {"schemas": schemas}}
    raise KeyError(f"{version} {kind}")


@cache
def _published(name: str) -> dict[str, Schema]:
    text = (module("kube-apiserver") / _OPENAPI / name).read_text(encoding="utf-8")
    schemas = json.loads(text)["components"]["schemas"]
    return {key: strict(schema) for key, schema in schemas.items()}


def strict(schema: Any) -> Any:
    """OpenAPI's words as JSON Schema has them, and no field beyond those named unless the schema keeps unknown ones."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _below(key, value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
    return made


def _below(key: str, value: Any) -> Any:
    """Names of properties are no keywords; the branches of a choice say what else holds, not what there may be."""
    if key == "properties" and isinstance(value, dict):
        return {name: strict(schema) for name, schema in value.items()}
    return value if key in ("anyOf", "oneOf", "not", "default", "enum", "required") else strict(value)
