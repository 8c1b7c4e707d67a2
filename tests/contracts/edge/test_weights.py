"""What a weight promises: its share, no lost request, one split for each request, a user who stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from coalmine.edge.split import write_split
from coalmine.records import Slot, Split

if TYPE_CHECKING:
    from contracts.edge.conftest import Load, Rig


def test_before_the_first_release_the_edge_says_so_and_counts_it_for_no_arm(rig: Rig) -> None:
    write_split(rig.config.split, Split(9, Slot.BLUE, None, None, 0))
    answer = rig.ask()
    assert (answer.status, answer.json["detail"]) == (503, "nothing released yet")
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert rig.lines(at_least=1)[-1]["arm"] == ""


def test_the_canary_gets_its_weight_and_the_log_says_what_the_client_was_told(rig: Rig) -> None:
    rig.split(25)
    connection = rig.connect()
    answers = [rig.ask(on=connection) for _ in range(1200)]
    told = Counter(answer.headers["x-coalmine-arm"] for answer in answers)
    assert 220 <= told["canary"] <= 380  # binomial(1200, 0.25): 5 standard deviations
    assert told == Counter(line["arm"] for line in rig.lines(at_least=1200))
    assert {answer.json["by"] for answer in answers if answer.headers["x-coalmine-arm"] == "canary"} == {"green"}


def test_weights_from_0_to_100_and_a_promotion_lose_no_keep_alive_post(rig: Rig, load: type[Load]) -> None:
    with load(rig) as clients:
        for weight in (*range(0, 101, 5), 100):
            rig.split(weight)
            clients.wait(40)
        rig.split(0, primary="m2-abc1235", canary=None, slot=Slot.GREEN)
        clients.wait(200)
    assert clients.failures == []
    assert {answer.status for answer in clients.answers} == {200}
    assert {answer.json["by"] for answer in clients.answers[-150:]} == {"green"}
    lines = rig.lines(at_least=len(clients.answers))
    assert len(lines) == len(clients.answers) == len(rig.blue.seen) + len(rig.green.seen)


def test_a_request_sees_one_split_whole_however_often_it_changes(rig: Rig, load: type[Load]) -> None:
    by_epoch: dict[int, tuple[Slot, str, int]] = {}
    with load(rig, clients=12) as clients:
        while rig.epoch < 60:
            turned = rig.epoch % 2 == 1
            slot = Slot.GREEN if turned else Slot.BLUE
            primary, canary = ("m8-abcdef0", "m7-abcdef0") if turned else ("m7-abcdef0", "m8-abcdef0")
            rig.split(rig.epoch % 101, primary=primary, canary=canary, slot=slot)
            by_epoch[rig.epoch] = (slot, primary, (rig.epoch - 1) % 101)
    lines = [line for line in rig.lines(at_least=len(clients.answers)) if line["epoch"] in by_epoch]
    assert len({line["epoch"] for line in lines}) > 20
    for line in lines:
        slot, primary, weight = by_epoch[line["epoch"]]
        assert line["weight"] == weight
        assert (line["arm"] == "primary") == (line["slot"] == slot) == (line["release"] == primary)
    assert not clients.failures


def test_canary_and_primary_swap_sides_when_green_is_primary(rig: Rig) -> None:
    rig.split(100, slot=Slot.GREEN)
    assert rig.ask().json["by"] == "blue"
    rig.split(0, slot=Slot.GREEN)
    assert rig.ask().json["by"] == "green"


def test_a_sticky_user_on_the_canary_stays_there_while_the_weight_grows(start: Callable[..., Rig]) -> None:
    rig = start(sticky_header="X-User-Id", sticky_cookie="uid", user_salt="s3cret")
    users = [f"user-{number}" for number in range(60)]
    connection, arms = rig.connect(), dict.fromkeys(users, "primary")
    for weight in (0, 10, 30, 60, 100):
        rig.split(weight)
        for user in users:
            arm = rig.ask(headers={"X-User-Id": user}, on=connection).headers["x-coalmine-arm"]
            again = rig.ask(headers={"Cookie": f"a=b; uid={user}"}, on=connection).headers["x-coalmine-arm"]
            assert arm == again
            assert not (arms[user] == "canary" and arm == "primary")
            arms[user] = arm
        if weight == 30:
            assert 5 <= Counter(arms.values())["canary"] <= 33
    assert set(arms.values()) == {"canary"}
    hashed = {line["user"] for line in rig.lines(at_least=600)}
    assert len(hashed) == 60
    assert not any("user" in name for name in hashed)


def test_a_client_cannot_choose_an_arm(rig: Rig) -> None:
    rig.split(30)
    connection = rig.connect()
    forged = {
        "X-Coalmine-Arm": "canary",
        "X-Coalmine-Release": "m2-abc1235",
        "X-Coalmine-Slot": "green",
        "X-Request-Id": "0123456789abcdef0123456789abcdef",
        "X-Prediction-Id": "forged",
    }
    answers = [rig.ask(headers=forged, on=connection) for _ in range(200)]
    assert {answer.headers["x-coalmine-arm"] for answer in answers} == {"primary", "canary"}
    assert {answer.headers["x-request-id"] for answer in answers} == {forged["X-Request-Id"]}
    for upstream, arm in ((rig.blue, "primary"), (rig.green, "canary")):
        for _, headers, _ in upstream.seen:
            assert headers["x-coalmine-arm"] == arm
            assert "x-prediction-id" not in headers
    lines = rig.lines(at_least=200)
    assert len({line["id"] for line in lines}) == 200  # a client's repeated id does not merge requests
    assert {line["client_id"] for line in lines} == {forged["X-Request-Id"]}
