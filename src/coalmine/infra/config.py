"""A stack's configuration: one mapping in `infra/Pulumi.<stack>.yaml`, refused as a whole before anything is made.

Each default stands here with its reason. An unknown key is an error, never ignored: a misspelt `spot` would cost money.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coalmine.errors import BadInput
from coalmine.infra import facts

KEY = "coalmine:stack"  # in the stack file, under `config`
SEED = "coalmine:seed"  # the one secret; see infra/README.md
ZONES = 3  # fewer, and the loss of one takes the quorum of what is replicated
CAN_BE_CUT = {"nvidia-tesla-a100"}  # of those in regions.yaml: L4, T4 and A10G have no MIG
WIDEST = 16  # a larger network than /16 is no list of operators

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")]
Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]  # what both clouds take as a label's value
Domain = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$", max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(_Part):
    """Nodes of one kind over all zones of the stack."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
    machine: str
    min: int = Field(default=0, ge=0)  # nobody pays for a node that waits
    max: int = Field(ge=1, le=200)  # over all zones; no default, since it bounds the bill
    spot: bool = False  # a node that may go at any moment is a choice, not a default
    disk_gib: int = Field(default=100, ge=30, le=2000)  # images with CUDA are of ten GiB and more
    time_slices: int = Field(default=1, ge=1, le=48)  # pods a GPU: without isolation of memory, so one unless asked for
    # A MIG profile, such as 1g.5gb: isolation in hardware. Empty, since few GPUs can be cut, and a whole one is faster.
    mig: str = Field(default="", pattern=r"^([0-9]g\.[0-9]+gb)?$")

    @property
    def hardware(self) -> facts.Machine:
        return facts.machines()[self.machine]

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.machine not in facts.machines():
            raise ValueError(f"machine: {self.machine!r} is not in src/coalmine/infra/regions.yaml")
        if self.min > self.max:
            raise ValueError(f"min: {self.min} is more than max, {self.max}")
        if self.mig and self.time_slices > 1:
            raise ValueError("mig: not together with time_slices; take one way to share a GPU")
        if (self.mig or self.time_slices > 1) and not self.hardware.gpus:
            raise ValueError(f"machine: {self.machine} has no GPU to share")
        return self


class Tenant(_Part):
    """Who may run models here, and how much of the cluster is theirs."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,38}$")]
    group: str = ""  # of your sign-on; empty: coalmine:<name>, as gitops/tenants has it
    gpus: int = Field(default=0, ge=0)  # most tenants need none, and a quota of none keeps a mistake cheap
    cpus: int = Field(default=8, ge=1)  # as gitops/platform/tenant: two copies of a model's three pods with room
    memory_gib: int = Field(default=16, ge=1)  # the same


class Database(_Part):
    """PostgreSQL for MLflow, Airflow and the judge."""

    tier: str = ""  # empty: the smallest that the cloud runs in two zones; the registry's load is small
    gib: int = Field(default=50, ge=10)  # it grows by itself
    backup_days: int = Field(default=14, ge=7, le=35)  # a mistake is often found a week later


class Stack(_Part):
    """All that one environment is."""

    name: Name
    provider: Literal["gke", "eks", "existing"]
    region: str = ""  # no cloud: none; a cloud: there is no sensible guess at where data may lie
    zones: tuple[str, ...] = ()  # empty: the first three that the region and its GPU types have
    project: str = ""  # Google Cloud's project
    account: str = Field(default="", pattern=r"^([0-9]{12})?$")  # Amazon's account: nothing is made in another one
    context: str = ""  # `existing`: the kubeconfig's context; empty: its current one
    git: str = Field(pattern=r"^(https://[^@/\s]+|ssh://([a-z0-9_-]+@)?[^@/\s]+)/\S+$")  # no password in it
    branch: str = "main"  # what a new repository has, and what releases are pushed to
    cluster: str = ""  # the folder in gitops/clusters/; empty: the stack's name
    domain: Domain  # models are served at <model>.<domain>
    contact: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")  # whom Let's Encrypt writes to
    owner: Tag  # labels: whose it is ...
    cost_center: Tag  # ... and who pays
    operators: tuple[str, ...] = ()  # networks that may reach the API; none: only from inside the network
    system: Pool | None = None  # None: three small nodes, one a zone, for what must always run
    cpu: Pool | None = None  # None: none to three nodes a zone, for what has no GPU
    gpu: tuple[Pool, ...] = ()  # none: the dearest of all nodes are there by name only
    tenants: tuple[Tenant, ...] = ()  # none: nobody runs anything before somebody is named
    database: Database = Database()  # the smallest in two zones, with backups of two weeks
    keep: bool = True  # what holds data is protected; only a cluster for trying things may say false

    @property
    def pools(self) -> tuple[Pool, ...]:
        """System first. None where the nodes are somebody else's."""
        if self.provider == "existing":
            return ()
        small, plain = ("e2-standard-4", "e2-standard-4") if self.provider == "gke" else ("m6i.xlarge", "m6i.xlarge")
        count = len(self.zones)
        system = self.system or Pool(name="system", machine=small, min=count, max=2 * count)
        cpu = self.cpu or Pool(name="cpu", machine=plain, max=3 * count)
        return (system, cpu, *self.gpu)

    @property
    def labels(self) -> Mapping[str, str]:
        """On everything that can carry them; the clouds' cost reports group by these."""
        return {"coalmine-stack": self.name, "owner": self.owner, "cost-center": self.cost_center}

    @property
    def folder(self) -> str:
        return f"gitops/clusters/{self.cluster or self.name}"

    @property
    def gpu_slots(self) -> int:
        """How many `nvidia.com/gpu` the scheduler could ever see."""
        return sum(pool.max * pool.hardware.gpus * pool.time_slices for pool in self.gpu)

    @model_validator(mode="before")
    @classmethod
    def _zones(cls, given: Any) -> Any:
        """Fill in the zones, so that all that follows has them."""
        if not isinstance(given, dict) or given.get("zones"):
            return given
        region = facts.regions(str(given.get("provider"))).get(str(given.get("region")))
        if region is None:
            return given
        pools = [pool for pool in given.get("gpu") or () if isinstance(pool, dict)]
        known = (facts.machines().get(str(pool.get("machine"))) for pool in pools)
        wanted = [region.gpus.get(machine.gpu, ()) for machine in known if machine is not None]
        zones = [zone for zone in region.zones if all(zone in offering for offering in wanted)]
        return given | {"zones": tuple(zones[:ZONES]) if len(zones) >= ZONES else region.zones[:ZONES]}

    @model_validator(mode="after")
    def _together(self) -> Self:
        for check in (self._place, self._networks, self._gpus, self._distinct):
            check()
        if self.provider != "existing" and not self.keep:
            raise ValueError("keep: only provider existing may say false; a cloud's data stays")
        return self

    def _place(self) -> None:
        if self.provider == "existing":
            given = [
                key for key in ("region", "zones", "project", "account", "system", "cpu", "gpu") if getattr(self, key)
            ]
            if given:
                raise ValueError(f"{given[0]}: not for provider existing, whose nodes are made elsewhere")
            return
        known = facts.regions(self.provider)
        if self.region not in known:
            raise ValueError(f"region: {self.region!r} is none of {', '.join(known)} (src/coalmine/infra/regions.yaml)")
        strange = set(self.zones) - set(known[self.region].zones)
        if strange:
            raise ValueError(f"zones: {', '.join(sorted(strange))} is not in {self.region}")
        if len(set(self.zones)) < ZONES:
            raise ValueError(f"zones: {len(set(self.zones))} given, at least {ZONES} different ones are needed")
        lacking = "project" if self.provider == "gke" else "account"
        if not getattr(self, lacking):
            raise ValueError(f"{lacking}: provider {self.provider} needs it")

    def _networks(self) -> None:
        for text in self.operators:
            try:
                network = ipaddress.ip_network(text)
            except ValueError as error:
                raise ValueError(f"operators: {error}") from error
            if network.prefixlen < (WIDEST if network.version == 4 else 32):
                raise ValueError(f"operators: {text} is too wide for a list of operators; at most a /{WIDEST}")

    def _gpus(self) -> None:
        if self.provider == "existing":
            return
        offered = facts.regions(self.provider)[self.region].gpus
        for place, pool in enumerate(self.gpu):
            kind = pool.hardware.gpu
            if not kind:
                raise ValueError(f"gpu.{place}.machine: {pool.machine} has no GPU")
            if pool.mig and self.provider == "eks":
                raise ValueError(f"gpu.{place}.mig: on eks it wants NVIDIA's GPU operator, which is not made here")
            if pool.mig and kind not in CAN_BE_CUT:
                raise ValueError(f"gpu.{place}.mig: {kind} of {pool.machine} has no MIG; take time_slices")
            missing = [zone for zone in self.zones if zone not in offered.get(kind, ())]
            if missing:
                raise ValueError(
                    f"gpu.{place}.machine: {kind} of {pool.machine} is not to be had in {', '.join(missing)}"
                )
        plain = [pool for pool in self.pools if not pool.hardware.gpus]
        if len(plain) + len(self.gpu) != len(self.pools):
            raise ValueError("system, cpu: a machine with a GPU belongs under gpu, where it is tainted")
        if plain[0].min < len(self.zones):
            raise ValueError(f"system.min: {plain[0].min} nodes cannot stand in {len(self.zones)} zones")
        asked = sum(tenant.gpus for tenant in self.tenants)
        if asked > self.gpu_slots:
            raise ValueError(f"tenants: {asked} GPUs promised, but the pools have {self.gpu_slots} at most")

    def _distinct(self) -> None:
        for key, names in (("gpu", [p.name for p in self.pools]), ("tenants", [t.name for t in self.tenants])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{key}: {', '.join(sorted(twice))} is named twice")


def read(given: object, *, name: str, where: str) -> Stack:
    """The stack that a mapping describes. Raises BadInput naming file, key and remedy."""
    if not isinstance(given, dict):
        raise BadInput(f"{KEY} is no mapping", where=where, remedy="copy one of infra/Pulumi.*.yaml")
    try:
        return Stack.model_validate({"name": name, **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        what = f"{key}: {said}" if key else said
        raise BadInput(what, where=f"{where}: {KEY}", remedy="see docs/reference/infra.md") from error


def load(folder: Path, name: str) -> Stack:
    """From `<folder>/Pulumi.<name>.yaml`. Raises BadInput where it is missing, no YAML, or wrong."""
    path = folder / f"Pulumi.{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(stacks(folder))) or "none"
        raise BadInput(f"there is no stack {name}", where=str(path), remedy=f"name one of these: {there}")
    try:
        given: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInput(str(error), where=str(path), remedy="write it as YAML") from error
    config = given.get("config", {}) if isinstance(given, dict) else {}
    return read(config.get(KEY), name=name, where=str(path))


def stacks(folder: Path) -> list[str]:
    """The names of the stack files there."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))
