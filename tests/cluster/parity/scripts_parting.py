"""Scripts in which the two sides may part: whoever is asked does not answer, or nothing is there to go back to."""

from __future__ import annotations

from cluster.parity.script import BROKEN, GOOD, HANGS, KINDS, NO, YES, Change, Reply, Script
from cluster.parity.scripts_judged import PUSH
from coalmine.rollout.state import Terms

UNREACHABLE = (
    Script(
        "gates-broken",
        "A confirm hook that answers 500 holds.",
        12,
        {
            2: Change(release="v2", hooks={"confirm-rollout": BROKEN}),
            4: Change(hooks={"confirm-rollout": YES, "confirm-traffic-increase": BROKEN}),
            7: Change(hooks={"confirm-traffic-increase": YES}),
        },
    ),
    Script(
        "retries",
        "429 and 5xx are tried again, as often as `retries` says.",
        7,
        {
            2: Change(release="v2", hooks={"pre-rollout": Reply(503, "starting")}),
            3: Change(patience=4),
            4: Change(hooks={"pre-rollout": YES}),
        },
        hook_fields={"pre-rollout": {"retries": 2}},
    ),
    Script(
        "pre-rollout-broken",
        "A pre-rollout hook that answers 500.",
        9,
        {2: Change(release="v2", hooks={"pre-rollout": BROKEN})},
    ),
    Script(
        "rollout-hangs",
        "A rollout hook that does not answer in time.",
        7,
        {**PUSH, 4: Change(hooks={"rollout": HANGS}), 6: Change(hooks={"rollout": YES})},
        hook_fields={"rollout": {"timeout": "1s"}},
    ),
    Script(
        "provider-broken", "A metric's provider that answers 500.", 10, {**PUSH, 4: Change(metrics={"errors": BROKEN})}
    ),
    Script(
        "provider-hangs",
        "A metric's provider that does not answer in time.",
        5,
        {**PUSH, 4: Change(metrics={"errors": HANGS})},
    ),
    Script(
        "nobody-answers",
        "At a step the judge and the metric's provider die, and come back later.",
        12,
        {
            **PUSH,
            4: Change(hooks=dict.fromkeys(KINDS, BROKEN), metrics={"errors": BROKEN}),
            9: Change(hooks={**dict.fromkeys(KINDS, YES), "rollback": NO}, metrics={"errors": GOOD}),
        },
    ),
)

PARTING = (
    Script(
        "rollback-while-starting",
        "A rollback hook's yes while the canary is not ready.",
        8,
        {2: Change(release="v2", canary=False, hooks={"rollback": YES})},
    ),
    Script(
        "revert-during-canary",
        "A push of the primary's release during the canary.",
        13,
        {**PUSH, 4: Change(release="v1")},
    ),
    Script(
        "revert-while-waiting",
        "A push of the primary's release while the rollout waits.",
        9,
        {
            2: Change(release="v2", hooks={"confirm-rollout": NO}),
            4: Change(release="v1"),
            5: Change(hooks={"confirm-rollout": YES}),
        },
    ),
    Script(
        "first-never-ready",
        "A first release that never becomes ready.",
        9,
        {0: Change(primary=False), 6: Change(primary=True)},
    ),
    Script(
        "first-mended",
        "A push while the first release is not ready.",
        9,
        {0: Change(primary=False), 2: Change(release="v2"), 4: Change(primary=True)},
    ),
    Script(
        "first-skip",
        "skipAnalysis and a first release that is not ready.",
        5,
        {0: Change(primary=False), 3: Change(primary=True)},
        spec={"skipAnalysis": True},
    ),
    Script(
        "primary-down",
        "A primary that is down for longer than the deadline.",
        12,
        {**PUSH, 4: Change(primary=False), 9: Change(primary=True)},
    ),
    Script(
        "primary-down-promoting",
        "A primary that does not come up with the promoted release.",
        12,
        {**PUSH, 6: Change(primary=False)},
    ),
    Script(
        "canary-down-promoting",
        "A canary that dies while its promotion is under way, and comes back.",
        11,
        {**PUSH, 6: Change(canary=False), 8: Change(canary=True)},
        analysis={"stepWeightPromotion": 30},
    ),
    Script(
        "push-while-failed-and-down",
        "A push after a failure while the primary is down.",
        12,
        {
            **PUSH,
            4: Change(hooks={"rollback": YES}),
            6: Change(release="v3", hooks={"rollback": NO}, primary=False),
            8: Change(primary=True),
        },
    ),
    Script(
        "steps-changed",
        "stepWeights changed during the canary, so that its weight is none of them.",
        9,
        {**PUSH, 4: Change(analysis={"stepWeights": [20, 40]})},
    ),
    Script(
        "events",
        "What an event hook is told.",
        9,
        PUSH,
        hooks={"rollback": "rollback", "events": "event"},
        hook_fields={"events": {"metadata": {"team": "models"}}},
    ),
    Script(
        "baking",
        "A rollback hook's yes after the promotion.",
        12,
        {**PUSH, 9: Change(hooks={"rollback": YES})},
        terms=Terms(bake_seconds=350),
    ),
)
