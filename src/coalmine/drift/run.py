"""One look: what came since the last one is folded in, and page, metrics and state are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coalmine.drift import alarms, calibrate, health, metrics, page, reading, resources, signals, store, watch
from coalmine.drift.health import Health, Tenant
from coalmine.drift.reading import Fitted, Source
from coalmine.drift.signals import Seen
from coalmine.drift.store import Kept
from coalmine.drift.watch import Plan, State
from coalmine.errors import BadInput
from coalmine.files import write_whole
from coalmine.settings import Settings

PAGE, METRICS = "index.html", "metrics.prom"


def check(plan: Plan) -> Plan:
    """Raises BadInput, naming the option."""
    for name, good, remedy in (
        ("--alpha", 0 < plan.alpha < 1, "a probability, for example 0.05"),
        ("--window", plan.window >= 10, "at least 10 rows"),
        ("--reference", plan.reference >= 4 * plan.window, "at least four windows"),
    ):
        if not good:
            raise BadInput(f"{getattr(plan, name[2:])} cannot be used", where=name, remedy=remedy)
    return plan


def examine(settings: Settings, source: Source, plan: Plan, *, now: float) -> Health:
    """Look at every tenant of the lake; leaves state, alarms, page and metrics in `<state>/drift/`."""
    check(plan)
    folder = settings.state / "drift"
    found = [
        _tenant(settings, source, plan, folder=folder, name=name, release=release)
        for name, release in reading.tenants(source)
    ]
    made = health.health(
        found, made_at=now, model=settings.model, alpha=plan.alpha, processes=resources.processes(settings)
    )
    alarms.keep(folder, made)
    write(folder, made)
    return made


def write(folder: Path, made: Health) -> None:
    write_whole(folder / METRICS, metrics.text(made))
    write_whole(folder / PAGE, page.render(made))


def _tenant(settings: Settings, source: Source, plan: Plan, *, folder: Path, name: str, release: str) -> Tenant:
    fit = reading.fitted(settings, release)
    kept = store.load(folder, name)
    if kept is None or kept.release != release or kept.plan != plan:
        kept = _begin(source, plan, name=name, release=release, fit=fit)
    if kept is None:
        rows = len(reading.apart(reading.predictions(source, tenant=name, release=release), fit))
        words = f"{rows} of the {plan.reference} rows of a reference"
        return Tenant(name, release, State.NO_DATA, words, rows)
    kept = _accuracy(_look(kept, source, fit), source)
    store.save(folder, kept)
    limit = calibrate.threshold(plan.alpha, signals=kept.signals)
    return health.tenant(name, release, kept.series, plan, limit=limit, reference=kept.reference[2])


def _begin(source: Source, plan: Plan, *, name: str, release: str, fit: Fitted) -> Kept | None:
    """The release's first rows for this tenant, apart from those it was fitted on; None where they are too few."""
    rows = reading.apart(reading.predictions(source, tenant=name, release=release), fit)[: plan.reference]
    if len(rows) < plan.reference:
        return None
    series = watch.begin(signals.columns(rows, vocabulary=fit.words), plan)
    times = (rows[0].t, rows[-1].t, len(rows))
    # One more than there are now: accuracy begins when enough labels have come.
    return Kept(name, release, plan, len(series) + 1, times, last=rows[-1].id, series=series)


def _look(kept: Kept, source: Source, fit: Fitted) -> Kept:
    rows = reading.predictions(source, tenant=kept.tenant, release=kept.release, after=kept.last)
    if not rows:
        return kept
    limit = calibrate.threshold(kept.plan.alpha, signals=kept.signals)
    fresh = signals.columns(reading.apart(rows, fit), vocabulary=fit.words)
    return replace(kept, last=rows[-1].id, series=watch.look(kept.series, fresh, kept.plan, limit=limit))


def _accuracy(kept: Kept, source: Source) -> Kept:
    """The first four windows of labels are the reference of this signal; then it is looked at as the others are."""
    rows = reading.labelled(source, tenant=kept.tenant, release=kept.release, known=kept.labelled)
    fresh, plan = signals.rightness(rows), kept.plan
    if "accuracy.labels" not in kept.series:
        if len(rows) < 4 * plan.window:
            return kept
        first, rest = rows[: 4 * plan.window], rows[4 * plan.window :]
        series = {**kept.series, **watch.begin(signals.rightness(first), plan)}
        fresh = signals.rightness(rest)
    else:
        series = dict(kept.series)
    limit = calibrate.threshold(plan.alpha, signals=kept.signals)
    own = watch.look({"accuracy.labels": series["accuracy.labels"]}, fresh, plan, limit=limit)
    return replace(kept, labelled=kept.labelled | {row.id for row in rows}, series={**series, **own})


def of_texts(rows: Sequence[Seen], reference: Sequence[Seen], fit: Fitted, plan: Plan, *, name: str) -> Tenant:
    """A file against a reference, with nothing kept: to try it alone."""
    kept = reading.apart(reference, fit)[: plan.reference]
    if len(kept) < 4 * plan.window:
        words = f"{len(kept)} of the {4 * plan.window} rows that a reference needs"
        return Tenant(name, "", State.NO_DATA, words, len(kept))
    series = watch.begin(signals.columns(kept, vocabulary=fit.words), plan)
    limit = calibrate.threshold(plan.alpha, signals=len(series) or 1)
    fresh = signals.columns(list(rows), vocabulary=fit.words)
    return health.tenant(name, "", watch.look(series, fresh, plan, limit=limit), plan, limit=limit, reference=len(kept))
