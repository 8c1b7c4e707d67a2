"""Scripts of one release at a time: promoted, failed by its checks, or held by its gates."""

from __future__ import annotations

from cluster.parity.script import BAD, GOOD, KINDS, NO, NO_DATA, YES, Change, Reply, Script, value

PUSH = {2: Change(release="v2")}
TWICE = {f"{kind}-{number}": kind for kind in KINDS for number in (1, 2)}

PROMOTED = (
    Script("promoted", "A release that everything speaks for takes its steps and is promoted.", 9, PUSH),
    Script("no-hooks", "Without hooks and metrics time alone promotes.", 9, PUSH, hooks={}, metrics=()),
    Script(
        "step-weight",
        "stepWeight goes up to maxWeight.",
        9,
        PUSH,
        analysis={"stepWeight": 30, "maxWeight": 60},
    ),
    Script("step-to-all", "stepWeight without maxWeight ends at 100.", 10, PUSH, analysis={"stepWeight": 40}),
    Script("steps-to-all", "The last of stepWeights may be 100.", 9, PUSH, analysis={"stepWeights": [50, 100]}),
    Script("three-steps", "stepWeights may end below 100.", 10, PUSH, analysis={"stepWeights": [10, 25, 60]}),
    Script(
        "promotion-steps",
        "stepWeightPromotion takes the weight down step by step.",
        11,
        PUSH,
        analysis={"stepWeightPromotion": 20},
    ),
    Script(
        "promotion-strides",
        "A promotion's step larger than the weight ends at 0.",
        9,
        PUSH,
        analysis={"stepWeights": [90], "stepWeightPromotion": 60},
    ),
    Script(
        "skip-analysis",
        "skipAnalysis promotes without a question.",
        6,
        {2: Change(release="v2", spec={"skipAnalysis": True})},
    ),
    Script(
        "post-rollout-fails",
        "A post-rollout hook's no changes nothing, and the one behind it is not asked.",
        9,
        {2: Change(release="v2", hooks={"post-rollout-1": NO})},
        hooks=TWICE,
    ),
    Script(
        "metadata",
        "A hook without a type is a rollout hook; metadata goes into the body as it is.",
        8,
        PUSH,
        hooks={"confirm-rollout": "confirm-rollout", "check": ""},
        hook_fields={"check": {"metadata": {"cmd": "curl -s", "type": "bash"}}},
    ),
    Script(
        "again-and-again",
        "Each promotion is followed by the next push.",
        17,
        {2: Change(release="v2"), 9: Change(release="v3")},
    ),
)

CHECKS = (
    Script(
        "fails-twice",
        "Failed checks below the threshold hold, add up and stay in the count until the end.",
        11,
        {**PUSH, 4: Change(metrics={"errors": BAD}), 6: Change(metrics={"errors": GOOD})},
    ),
    Script(
        "threshold",
        "As many failed checks as the threshold roll back, one tick later.",
        10,
        {**PUSH, 4: Change(metrics={"errors": BAD})},
    ),
    Script(
        "scattered",
        "Failed checks need not follow one another.",
        12,
        {
            **PUSH,
            4: Change(metrics={"errors": BAD}),
            5: Change(metrics={"errors": GOOD}),
            6: Change(metrics={"errors": BAD}),
        },
    ),
    Script(
        "threshold-zero",
        "A threshold of 0 reads as 1.",
        8,
        {**PUSH, 4: Change(metrics={"errors": BAD})},
        analysis={"threshold": 0},
    ),
    Script(
        "pre-rollout-fails",
        "A pre-rollout no is a failed check, and no traffic flows.",
        9,
        {**PUSH, 3: Change(hooks={"pre-rollout": NO})},
    ),
    Script(
        "pre-rollout-late",
        "A pre-rollout hook may say yes later.",
        10,
        {**PUSH, 3: Change(hooks={"pre-rollout": NO}), 5: Change(hooks={"pre-rollout": YES})},
    ),
    Script("rollout-fails", "A rollout no is a failed check.", 10, {**PUSH, 4: Change(hooks={"rollout": NO})}),
    Script("no-data", "A query without a value fails.", 10, {**PUSH, 4: Change(metrics={"errors": NO_DATA})}),
    Script("nan", "NaN is no value.", 10, {**PUSH, 4: Change(metrics={"errors": value("NaN")})}),
    Script(
        "infinite", "+Inf is a value, above any maximum.", 10, {**PUSH, 4: Change(metrics={"errors": value("+Inf")})}
    ),
    Script(
        "query-refused",
        "A provider that refuses the query fails the check.",
        10,
        {**PUSH, 4: Change(metrics={"errors": Reply(400, '{"status": "error", "error": "parse error"}')})},
    ),
    Script(
        "query-garbled",
        "An answer that is no Prometheus answer fails the check.",
        10,
        {**PUSH, 4: Change(metrics={"errors": Reply(200, "<html>")})},
    ),
    Script(
        "second-metric",
        "Metrics are asked in the file's order up to the first that fails.",
        10,
        {**PUSH, 4: Change(metrics={"slow": BAD}), 5: Change(metrics={"errors": BAD})},
        metrics=("errors", "slow", "worse"),
    ),
)

GATES = (
    Script(
        "confirm-rollout-waits",
        "Waiting until confirm-rollout says yes; not a failed check.",
        12,
        {2: Change(release="v2", hooks={"confirm-rollout": NO}), 5: Change(hooks={"confirm-rollout": YES})},
    ),
    Script(
        "traffic-increase-waits",
        "confirm-traffic-increase holds at 0, at a step and at the last; a no is never counted.",
        15,
        {
            2: Change(release="v2", hooks={"confirm-traffic-increase": NO}),
            5: Change(hooks={"confirm-traffic-increase": YES}),
            6: Change(hooks={"confirm-traffic-increase": NO}),
            8: Change(hooks={"confirm-traffic-increase": YES}),
            9: Change(hooks={"confirm-traffic-increase": NO}),
            11: Change(hooks={"confirm-traffic-increase": YES}),
        },
    ),
    Script(
        "promotion-waits",
        "confirm-promotion holds at the largest weight, without confirm-traffic-increase from then on.",
        13,
        {2: Change(release="v2", hooks={"confirm-promotion": NO}), 9: Change(hooks={"confirm-promotion": YES})},
    ),
    Script(
        "promotion-waits-and-fails",
        "Checks go on while a promotion waits, and their threshold ends it.",
        12,
        {2: Change(release="v2", hooks={"confirm-promotion": NO}), 7: Change(metrics={"errors": BAD})},
    ),
    Script(
        "two-of-each",
        "Of several hooks the first no ends the questions of its type.",
        14,
        {
            2: Change(release="v2", hooks={"confirm-rollout-1": NO}),
            3: Change(hooks={"confirm-rollout-1": YES, "pre-rollout-1": NO}),
            4: Change(hooks={"pre-rollout-1": YES, "confirm-traffic-increase-1": NO}),
            5: Change(hooks={"confirm-traffic-increase-1": YES, "confirm-promotion-1": NO}),
            8: Change(hooks={"confirm-promotion-1": YES}),
        },
        hooks=TWICE,
    ),
)
