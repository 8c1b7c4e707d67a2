"""How large a stack is and what it costs: zones, nodes, GPUs, and list prices at its smallest and its largest."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.infra import facts
from coalmine.infra.config import Pool, Stack
from coalmine.infra.facts import Price

_BUCKET_GIB = 200  # a guess, and said so: nobody knows yet what a lake will hold


@dataclass(frozen=True, slots=True)
class Nodes:
    """A pool: its bounds over all zones."""

    pool: str
    machine: str
    least: int
    most: int
    gpus_most: int
    spot: bool
    sharing: str


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of the estimate, in the table's currency a month. `looked_up`: whether its price was read on a page."""

    what: str
    least: float
    most: float
    looked_up: bool
    page: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What `coalmine infra plan` prints."""

    stack: str
    provider: str
    region: str
    zones: tuple[str, ...]
    nodes: tuple[Nodes, ...]
    gpu_slots: int
    tenants: tuple[tuple[str, int], ...]
    costs: tuple[Cost, ...]
    currency: str
    prices_of: str
    priced_for: str

    @property
    def least(self) -> float:
        return sum(cost.least for cost in self.costs)

    @property
    def most(self) -> float:
        return sum(cost.most for cost in self.costs)

    @property
    def unseen(self) -> int:
        """How many prices nobody looked up."""
        return sum(not cost.looked_up for cost in self.costs)


def outline(stack: Stack) -> Outline:
    """Of a valid stack. An `existing` cluster's nodes cost what they cost elsewhere: nothing is counted."""
    table = facts.prices()
    return Outline(
        stack=stack.name,
        provider=stack.provider,
        region=stack.region,
        zones=stack.zones,
        nodes=tuple(_nodes(pool) for pool in stack.pools),
        gpu_slots=stack.gpu_slots,
        tenants=tuple((tenant.name, tenant.gpus) for tenant in stack.tenants),
        costs=() if stack.provider == "existing" else _costs(stack, table),
        currency=table.currency,
        prices_of=table.date,
        priced_for=table.regions.get(stack.provider, ""),
    )


def _nodes(pool: Pool) -> Nodes:
    sharing = f"{pool.time_slices} pods a GPU" if pool.time_slices > 1 else f"MIG {pool.mig}" if pool.mig else ""
    return Nodes(
        pool.name, pool.machine, pool.min, pool.max, pool.max * pool.hardware.gpus, spot=pool.spot, sharing=sharing
    )


def _costs(stack: Stack, table: facts.Prices) -> tuple[Cost, ...]:
    cloud, hours = stack.provider, table.hours_per_month

    def line(what: str, price: Price, *, least: float, most: float) -> Cost:
        page = price.page or table.pages[cloud]
        return Cost(what, price.price * least, price.price * most, price.seen is not None, page)

    gateways = len(stack.zones) if cloud == "eks" else 1  # Google's NAT is the region's, Amazon's one a zone
    found = [
        line("control plane", table.hourly[f"{cloud}.control_plane"], least=hours, most=hours),
        line("egress (NAT)", table.hourly[f"{cloud}.nat"], least=gateways * hours, most=gateways * hours),
        line("PostgreSQL, two zones", table.hourly[f"{cloud}.database"], least=hours, most=hours),
    ]
    gib = stack.database.gib * (3 if cloud == "eks" else 1)  # Amazon's are three instances
    found.append(line(f"PostgreSQL's {gib} GiB", table.gib_month[f"{cloud}.database"], least=gib, most=gib))
    found.append(
        line(f"buckets, {_BUCKET_GIB} GiB supposed", table.gib_month[f"{cloud}.bucket"], least=0, most=_BUCKET_GIB)
    )
    for pool in stack.pools:
        share = hours * (table.spot_share if pool.spot else 1.0)
        what = f"pool {pool.name}: {pool.min} to {pool.max} {pool.machine}{', spot' if pool.spot else ''}"
        found.append(line(what, table.hourly[pool.machine], least=pool.min * share, most=pool.max * share))
    return tuple(found)


def lines(found: Outline) -> list[str]:
    """For people."""
    where = f"{found.region}: {', '.join(found.zones)}" if found.zones else "the nodes that are there"
    said = [f"{found.stack} on {found.provider}, {where}"]
    for one in found.nodes:
        extra = [text for text in (f"{one.gpus_most} GPUs at most" if one.gpus_most else "", one.sharing) if text]
        spot = " spot" if one.spot else ""
        said.append(
            f"  {one.pool:<10} {one.least:>3} to {one.most:<3} {one.machine}{spot}  {', '.join(extra)}".rstrip()
        )
    if found.gpu_slots:
        promised = sum(gpus for _, gpus in found.tenants)
        said.append(f"  {found.gpu_slots} GPU slots, {promised} promised to tenants")
    said += [f"  tenant {name}: {gpus} GPUs" for name, gpus in found.tenants]
    if not found.costs:
        return [*said, "no cost: nodes, storage and databases are not made by this stack"]
    said.append(f"{found.currency} a month, at the fewest and the most nodes, list prices of {found.prices_of}:")
    said += [f"  {cost.least:>10,.0f} {cost.most:>10,.0f}  {cost.what}" for cost in found.costs]
    said.append(f"  {found.least:>10,.0f} {found.most:>10,.0f}  together")
    said.append(
        f"{found.priced_for}'s prices; {found.unseen} of {len(found.costs)} were not looked up on a page: check them. "
        "Traffic, logs, key operations and snapshots are not counted."
    )
    return said
