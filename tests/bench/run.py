"""Measure everything and write docs/benchmarks.md: `make bench`. Takes some ten minutes; wants a quiet machine.

Starts a runtime of its own in a temporary clone, loads it through the edge with wrk while releases are promoted and
rolled back, then measures the service and the edge alone. Traffic goes to loopback only and ends by itself.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from coalmine.edge import certificates
from coalmine.local import scene
from coalmine.local.scene import free_base
from coalmine.rollout.store import Recorded
from coalmine.steps.workload import sibling
from e2e.runtime import POLICY, ROOT, Runtime, started

BODY = json.dumps({"text": "not bad at all, I would buy it again"})
NO_VOTES = POLICY.replace("feedback: {role: guardrail, weight: 2, odds_ratio_promote: 5}", "feedback: {role: observe}")
CONNECTIONS = 16  # closed-loop clients that find the saturation
PEOPLE = 256  # clients that pause between requests, for a given rate: so many that a slow arm hardly slows them
ANSWER_MS = 20  # about what an answer takes at such a rate; the pause is shorter by it
PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: answers without 2xx, and requests without an answer."""

    rate: float
    requests: int
    not_2xx: int
    lost: int


def start_wrk(here: Runtime, folder: Path, *, seconds: int, rate: float = 0.0) -> subprocess.Popen[str]:
    """POST through the edge for `seconds`, as fast as it goes or at about `rate` requests a second."""
    clients = PEOPLE if rate else CONNECTIONS
    mean = 1000 * PEOPLE / rate - ANSWER_MS if rate else 0.0
    pause = f"function delay() return math.random(0, {round(2 * mean)}) end\n" if rate else ""
    script = folder / f"post-{rate:.0f}.lua"
    header = 'wrk.headers["Content-Type"] = "application/json"\n'
    script.write_text(f'wrk.method = "POST"\nwrk.body = {json.dumps(BODY)}\n{header}{pause}')
    url = f"https://127.0.0.1:{here.settings.ports.https}/predict"
    line = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "15s", "-s", str(script), url]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def read_wrk(child: subprocess.Popen[str]) -> Load:
    said, _ = child.communicate()
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    requests = re.search(r"(\d+) requests in", said)
    assert rate is not None, said
    assert requests is not None, said
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    lost = sum(map(int, errors.groups())) if errors else 0
    return Load(float(rate[1]), int(requests[1]), int(bad[1]) if bad else 0, lost)


def moment(events: list[Recorded], kind: str, *, above: int = -1) -> float:
    return next(e.t for e in events if e.kind == kind and (e.weight if e.weight is not None else 0) > above)


def first_request(here: Runtime, release: str) -> float:
    """When the edge answered the first request that the canary had, in Unix seconds."""
    with here.settings.access_log.open(encoding="utf-8") as log:
        lines = (json.loads(line) for line in log if f'"{release}"' in line)
        return float(next(line["t"] for line in lines if line["arm"] == "canary"))


def releases_under_load(here: Runtime, folder: Path) -> dict[str, Any]:
    """A promotion, a rollback and certificates renewed, at 80 % of what the edge and the arms can do."""
    saturation = read_wrk(start_wrk(here, folder, seconds=8)).rate
    good, slow = here.build(1), here.build(1)
    load_seen = start_wrk(here, folder, seconds=75, rate=0.8 * saturation)
    time.sleep(3)
    attempt = here.push(good)
    promoted = here.ended(attempt)
    for _ in range(3):
        certificates.renew(here.settings.tls, here.settings.server_names)
        time.sleep(0.5)
    back = here.ended(here.push(slow, fault="delay_ms=400"))
    seen = read_wrk(load_seen)
    first, second = (here.store.events(here.settings.model, attempt=e.attempt) for e in (promoted, back))
    return {
        "saturation_rps": round(saturation),
        "load_rps": round(seen.rate),
        "requests": seen.requests,
        "not_2xx": seen.not_2xx,
        "lost": seen.lost,
        "outcomes": [str(promoted.outcome), str(back.outcome)],
        "push_to_first_canary_request_s": round(first_request(here, good) - promoted.started, 2),
        "push_to_canary_weight_s": round(moment(first, "weight", above=0) - promoted.started, 2),
        "verdict_to_traffic_back_s": round(decided_to_back(here, second), 2),
    }


def decided_to_back(here: Runtime, events: list[Recorded]) -> float:
    """From the judge's own time of its verdict to the split without the canary in force."""
    analyses = here.judge_api("/api/v1/analyses")
    newest = here.judge_api(f"/api/v1/analyses/{analyses[0]['id']}")
    return moment(events, "traffic_back") - float(newest["decided"])


def memory(here: Runtime) -> dict[str, float]:
    """Proportional set size in MiB of each part, and of all but the arms and their spare."""
    parts = {name: round(size / 2**20, 1) for name, size in scene.memory(here.settings).items() if size}
    ours = sum(size for name, size in parts.items() if not name.startswith("arm") and name != "spare")
    return {**parts, "without BentoML's processes": round(ours, 1)}


def pytest_lines(file: str, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a benchmark file prints as JSON."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-m", "bench", str(ROOT / "tests" / "bench" / file)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line[line.index("{") :]) for line in done.stdout.splitlines() if '{"' in line]


def edge_before_bentoml(bento: Path, here: Runtime) -> list[dict[str, Any]]:
    """nginx before the example's own service, asked directly and through it in turns."""
    port = free_base(26443)
    env = {**os.environ, "COALMINE_FEEDBACK_KEY": str(here.settings.feedback_key)}
    command = [sys.executable, "-m", "coalmine.release.serve", "--port", str(port), "--bento", str(bento)]
    arm = subprocess.Popen(command, env=env)
    try:
        here.wait("the arm", lambda: here.answers(f"http://127.0.0.1:{port}/readyz"), seconds=60)
        given = {"COALMINE_BENCH_URL": f"http://127.0.0.1:{port}/predict", "COALMINE_BENCH_BODY": BODY}
        return pytest_lines("bench_edge.py", given)
    finally:
        arm.terminate()
        arm.wait(30)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="coalmine-bench-") as name:
        folder = Path(name)
        found: dict[str, Any] = {}
        with started(folder, policy=NO_VOTES, base=23443) as here:
            tell("releases under load")
            found["releases"] = releases_under_load(here, folder)
            found["memory"] = memory(here)
            bento = Path(here.ledger.releases(here.settings.model)[-1].bento_path)
            texts = folder / "texts"
            asked = sibling(here.checkout, "sentiment", "replay").asked("tweets", "traffic")
            texts.write_text("\n".join(" ".join(one.request["text"].split()) for one in asked), encoding="utf-8")
        tell("make demo, twice")
        found["demo"] = demo(folder)
        tell("the service against the plain recipe")
        env = {"COALMINE_BENCH_BENTO": str(bento), "COALMINE_BENCH_TEXTS": str(texts)}
        found["serving"] = pytest_lines("bench_serving.py", env)[0]
        tell("the edge before BentoML, and what its parts cost")
        found["edge"], found["parts"] = edge_before_bentoml(bento, here)[:2]
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(found), encoding="utf-8")
    tell(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def demo(folder: Path) -> dict[str, Any]:
    """`make demo` twice in a fresh clone: with an empty package cache, and once it is installed."""
    clone = folder / "newcomer"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    env |= {"UV_CACHE_DIR": str(folder / "packages"), "COALMINE_PORT_BASE": str(free_base(28443))}
    found: dict[str, Any] = {}
    for name in ("fresh_s", "installed_s"):
        began = time.monotonic()
        done = subprocess.run(["make", "demo"], cwd=clone, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found[name] = round(time.monotonic() - began, 1)
    summary = json.loads((clone / ".coalmine" / "demo" / "summary.json").read_text(encoding="utf-8"))
    return {**found, "releases": [{k: r[k] for k in ("verdict", "seconds", "lost")} for r in summary["releases"]]}


def tell(what: str) -> None:
    sys.stderr.write(f"{what} ...\n")


def machine() -> str:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), Python {platform.python_version()}"


def page(found: Mapping[str, Any]) -> str:
    """docs/benchmarks.md: what was aimed at beside what was measured."""
    r, s, e, m = found["releases"], found["serving"], found["edge"], found["memory"]
    plain, ours = s["against_gthread"], s["coalmine"]
    loaded = f"{r['load_rps']} requests/s (saturation {r['saturation_rps']})"
    rows = [
        ("`make demo` in a fresh clone, downloads included", "<= 300 s", f"{found['demo']['fresh_s']:.0f} s"),
        ("`make demo` when installed", "<= 180 s", f"{found['demo']['installed_s']:.0f} s"),
        (
            "push accepted to the first canary request (Bento built)",
            "<= 5 s",
            f"{r['push_to_first_canary_request_s']} s",
        ),
        ("rollback verdict to traffic back", "<= 1 s", f"{r['verdict_to_traffic_back_s']} s"),
        (
            f"requests lost or failed through a promotion, a rollback and three renewals, {loaded}",
            "0",
            f"{r['lost']} lost, {r['not_2xx']} without 2xx, of {r['requests']:,}",
        ),
        ("nginx before BentoML, throughput against direct", ">= 0.97x", f"{e['throughput_ratio']}x"),
        (
            f"the control: direct, beside a process that only uses as much CPU as nginx ({e['nginx_cpu_share']:.0%})",
            "",
            f"{e['control_ratio']}x",
        ),
        ("nginx before BentoML, p99 added at half load", "<= 1 ms", f"{e['half_load_p99_added_ms']} ms"),
        (
            "the service against Flask + Gunicorn (gthread), requests/s",
            ">= 1.5x",
            f"{plain['requests_per_second']}x ({ours['requests_per_second']:.0f} requests/s)",
        ),
        ("the same, p99", "<= 1x", f"{plain['p99']}x ({ours['p99_ms']} ms)"),
        ("the same, answers without 2xx", "0", str(ours["not_2xx"])),
        (
            "memory without BentoML's processes (PSS)",
            "<= 600 MB",
            f"{m['without BentoML' + chr(39) + 's processes']} MiB",
        ),
    ]
    table = "\n".join(f"| {what} | {aim} | {got} |" for what, aim, got in rows)
    raw = json.dumps(found, indent=1)
    return (
        "# Benchmarks\n\n"
        f"Written by `make bench` on {time.strftime('%Y-%m-%d', time.gmtime())}: {machine()}.\n"
        "Load (wrk on keep-alive connections) and everything measured share those cores. Ratios are taken within one\n"
        "run, in turns.\n\n"
        f"| what | aim | measured |\n|---|---|---|\n{table}\n\n"
        f"All figures of that run:\n\n```json\n{raw}\n```\n"
    )


if __name__ == "__main__":
    sys.exit(main())
