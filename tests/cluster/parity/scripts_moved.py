"""Scripts of what comes in between: a rollback, an arm that is not ready, another push, a mended Canary."""

from __future__ import annotations

from cluster.parity.script import BAD, GOOD, NO, YES, Change, Reply, Script
from cluster.parity.scripts_judged import PUSH, TWICE

FEW = {kind: kind for kind in ("pre-rollout", "rollout", "post-rollout")}

ROLLBACKS = (
    Script("rollback-at-0", "A rollback hook's yes at weight 0.", 7, {**PUSH, 3: Change(hooks={"rollback": YES})}),
    Script("rollback-at-step", "A rollback hook's yes at a step.", 8, {**PUSH, 4: Change(hooks={"rollback": YES})}),
    Script("rollback-at-last", "A rollback hook's yes at the last.", 8, {**PUSH, 5: Change(hooks={"rollback": YES})}),
    Script(
        "rollback-while-promotion-waits",
        "A rollback hook's yes while a promotion waits carries that phase.",
        10,
        {2: Change(release="v2", hooks={"confirm-promotion": NO}), 7: Change(hooks={"rollback": YES})},
    ),
    Script(
        "rollback-while-waiting",
        "No rollback hook is asked before the rollout was confirmed.",
        6,
        {2: Change(release="v2", hooks={"confirm-rollout": NO, "rollback": YES})},
    ),
    Script(
        "rollback-too-late",
        "No rollback hook is asked while the primary is replaced.",
        9,
        {**PUSH, 6: Change(hooks={"rollback": YES})},
    ),
    Script(
        "second-rollback",
        "The second rollback hook's yes counts as much as the first's.",
        8,
        {**PUSH, 4: Change(hooks={"rollback-2": YES})},
        hooks=TWICE,
    ),
    Script(
        "rollback-before-threshold",
        "On the tick of the threshold the rollback hook is asked first.",
        9,
        {**PUSH, 4: Change(metrics={"errors": BAD}), 7: Change(hooks={"rollback": YES})},
    ),
    Script(
        "rollback-broken",
        "A rollback hook that fails asks for nothing.",
        9,
        {2: Change(release="v2", hooks={"rollback": Reply(501, "not implemented")})},
    ),
)

READINESS = (
    Script(
        "slow-first", "The first release waits for its primary.", 6, {0: Change(primary=False), 3: Change(primary=True)}
    ),
    Script(
        "slow",
        "A canary that is not ready holds.",
        10,
        {2: Change(release="v2", canary=False), 4: Change(canary=True)},
        hooks=FEW,
    ),
    Script(
        "never-ready",
        "A canary that is not ready for longer than the deadline is rolled back.",
        8,
        {2: Change(release="v2", canary=False)},
        hooks=FEW,
    ),
    Script(
        "never-ready-skip",
        "skipAnalysis keeps the deadline.",
        8,
        {2: Change(release="v2", canary=False, spec={"skipAnalysis": True})},
    ),
    Script(
        "lost-at-step",
        "A canary that dies at a step holds, and goes on when it is back.",
        11,
        {**PUSH, 4: Change(canary=False), 6: Change(canary=True)},
        hooks=FEW,
    ),
    Script(
        "primary-hiccup",
        "A primary that is not ready holds the rollout, without a question.",
        11,
        {**PUSH, 4: Change(primary=False), 6: Change(primary=True)},
    ),
)

REVISIONS = (
    Script(
        "new-revision",
        "A push during the canary starts again from weight 0 with no failed check, unasked.",
        13,
        {**PUSH, 4: Change(metrics={"errors": BAD}), 5: Change(metrics={"errors": GOOD}), 6: Change(release="v3")},
    ),
    Script(
        "new-revision-while-promotion-waits",
        "A push while a promotion waits starts again too.",
        15,
        {
            2: Change(release="v2", hooks={"confirm-promotion": NO}),
            7: Change(release="v3"),
            9: Change(hooks={"confirm-promotion": YES}),
        },
    ),
    Script(
        "new-revision-while-waiting",
        "A push while the rollout waits for its approval takes the place of the one before.",
        12,
        {
            2: Change(release="v2", hooks={"confirm-rollout": NO}),
            4: Change(release="v3"),
            6: Change(hooks={"confirm-rollout": YES}),
        },
    ),
    Script(
        "new-revision-while-promoting",
        "A push during the promotion waits for its end.",
        17,
        {**PUSH, 6: Change(release="v3")},
    ),
    Script(
        "revert-while-promoting",
        "A push of the old release during the promotion is a canary.",
        17,
        {**PUSH, 6: Change(release="v1")},
    ),
    Script(
        "healed",
        "Healed after a rollback, the phase stays Failed and nothing is asked.",
        9,
        {**PUSH, 4: Change(hooks={"rollback": YES}), 6: Change(release="v1", hooks={"rollback": NO})},
    ),
    Script(
        "pushed-after-heal",
        "After a heal the next push is a canary, the failed release again too.",
        18,
        {
            **PUSH,
            4: Change(hooks={"rollback": YES}),
            5: Change(release="v1", hooks={"rollback": NO}),
            7: Change(release="v3"),
            9: Change(hooks={"rollback": YES}),
            10: Change(release="v1", hooks={"rollback": NO}),
            12: Change(release="v2"),
        },
    ),
    Script(
        "pushed-after-failure",
        "A push on top of a failed release is a canary.",
        14,
        {**PUSH, 4: Change(hooks={"rollback": YES}), 6: Change(release="v3", hooks={"rollback": NO})},
    ),
    Script(
        "gate-after-failure",
        "The gate of the push after a failure.",
        12,
        {
            **PUSH,
            4: Change(hooks={"rollback": YES}),
            6: Change(release="v3", hooks={"rollback": NO, "confirm-rollout": NO}),
            8: Change(hooks={"confirm-rollout": YES}),
        },
    ),
    Script(
        "mended-threshold",
        "A mended Canary is in force at once.",
        9,
        {**PUSH, 4: Change(metrics={"errors": BAD}), 5: Change(analysis={"threshold": 1})},
    ),
    Script(
        "suspended",
        "Suspended, nothing moves and nothing is asked.",
        12,
        {**PUSH, 4: Change(spec={"suspend": True}), 7: Change(spec={"suspend": False})},
    ),
)
