"""From data to a built Bento in one process: MLflow and scikit-learn are imported once, not once a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from coalmine.records import Release
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings
from coalmine.steps.collect import collect
from coalmine.steps.evaluate import evaluate
from coalmine.steps.package import package, refuse_dirty
from coalmine.steps.register import register
from coalmine.steps.train import train
from coalmine.steps.validate import validate


@dataclass(frozen=True, slots=True)
class Wish:
    """What to make. `votes`: learn from what people said; `override` goes past a failed gate, with a reason."""

    domains: Sequence[str] = ()
    votes: bool = False
    seed: int = 0
    options: Mapping[str, object] = field(default_factory=dict)
    override: str = ""


def retrain(settings: Settings, wish: Wish, *, tell: Callable[[str], None] = lambda _: None) -> Release:
    """Collect, validate, train, evaluate, register and package; `tell` hears one sentence after each.

    Raises: what the steps raise; a tree with uncommitted changes is refused before anything is trained.
    """
    refuse_dirty(settings.project, settings.state)
    dataset = collect(settings, domains=wish.domains, votes=wish.votes)
    tell(f"collected {dataset.rows:,} rows from {', '.join(dataset.sources)} ({dataset.digest[:12]})")
    checked = validate(settings, dataset)
    tell(f"validated: {len(checked.checks)} checks, none failed")
    candidate = train(settings, dataset, seed=wish.seed, options=wish.options)
    tell(f"trained: run {candidate.run_id[:12]}")
    evaluation = evaluate(settings, candidate, override=wish.override)
    tell(
        "gate "
        + ("passed" if evaluation.passed else f"failed, overridden ({wish.override})")
        + ": "
        + ", ".join(f"{check.name} {check.value:.3f} (bound {check.bound:.3f})" for check in evaluation.checks)
    )
    version = register(settings, evaluation)
    tell(f"registered: {version.model} version {version.version}")
    release = Ledger(settings.database).add(package(settings, version))
    tell(f"packaged: {release.id} ({release.bento_digest[:12]})")
    return release
