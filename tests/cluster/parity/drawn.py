"""Scripts drawn by lot, from all that both sides are to do alike: what the hand-written ones did not think of."""

from __future__ import annotations

from random import Random

from cluster.parity.script import BAD, GOOD, KINDS, NO, NO_DATA, YES, Change, Reply, Script

_TICKS = 24
_STAYS = 15  # the tick from which on a canary that comes and goes stays
_ANALYSES = (
    {"stepWeights": [10, 50]},
    {"stepWeights": [5, 10, 25, 100]},
    {"stepWeight": 20, "maxWeight": 60},
    {"stepWeight": 35},
    {"stepWeights": [30, 60], "stepWeightPromotion": 25},
)
_GATES = tuple(kind for kind in KINDS if kind not in {"rollback", "post-rollout"})


def drawn(seed: int) -> Script:
    """The script of a number, the same each time.

    Left out is what the reference names as a difference: reverts, a primary that is down, hooks that cannot be reached.
    And a script has either `rollback` hooks or a canary that comes and goes, which then stays before any is promoted.
    """
    draw = Random(seed)  # no secret depends on it
    watched = draw.random() < 0.5
    kinds = [kind for kind in KINDS if draw.random() < 0.8 and (watched or kind != "rollback")]
    if not watched and "confirm-promotion" not in kinds:
        kinds.append("confirm-promotion")
    analysis = {**draw.choice(_ANALYSES), "threshold": draw.randint(0, 8)}
    at, version = {}, 1
    for tick in range(2, _TICKS):
        push = tick == 2 or draw.random() < 0.08
        version += push
        release = f"v{version}" if push else None
        hooks = {kind: _gate(draw) for kind in _GATES if draw.random() < 0.3}
        if watched and draw.random() < 0.3:
            hooks["rollback"] = draw.choice([NO] * 9 + [YES])
        metrics = {"errors": draw.choice([GOOD] * 5 + [BAD, NO_DATA])} if draw.random() < 0.3 else {}
        comes_and_goes = not watched and tick < _STAYS
        canary = None if watched else draw.random() < 0.75 or not comes_and_goes
        if comes_and_goes:
            hooks["confirm-promotion"] = NO
        elif not watched and tick == _STAYS:
            hooks["confirm-promotion"] = YES
        at[tick] = Change(release=release, canary=canary, hooks=hooks, metrics=metrics)
    hooks_of_kind = {kind: kind for kind in kinds}
    promise = f"What both do alike, they do alike in any order: number {seed}."
    return Script(f"drawn-{seed}", promise, _TICKS, at, hooks=hooks_of_kind, analysis=analysis)


def _gate(draw: Random) -> Reply:
    return draw.choice([*[YES] * 7, NO, Reply(501, "not implemented"), Reply(202), Reply(203, "no yes")])
