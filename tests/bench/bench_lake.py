"""The feedback service, capture and the join, measured; `make bench-lake` writes docs/lake-benchmarks.md.

    python tests/bench/bench_lake.py [--rows 10000000] [--only feedback,kills,capture,join]

Ratios are of one run, in turns. With `--only` or fewer rows nothing is written: the figures are printed alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.bench_serving import Measured, free_port, load, start, the_bento
from coalmine.feedback import token
from coalmine.feedback.lake import Lake
from coalmine.feedback.store import events_since
from coalmine.feedback.tables import FEEDBACK, PREDICTIONS
from coalmine.settings import Settings
from unit.feedback import test_api

PAGE = Path(__file__).parents[2] / "docs" / "lake-benchmarks.md"
ROWS = 10_000_000
PART = 1_000_000
CONNECTIONS = 24
SECONDS = 8.0
T0 = 1.7e9


def feedback(_rows: int) -> dict[str, float]:
    """Events a second that one process on one core acknowledges, each on disk before its 200."""
    with tempfile.TemporaryDirectory() as folder:
        api = test_api.start(Path(folder))
        os.sched_setaffinity(api.process.pid, sorted(os.sched_getaffinity(0))[:1])
        bodies = [json.dumps({"prediction_id": api.token(), "thumb": "up"}).encode() for _ in range(60_000)]
        began = _processor(api.process.pid)
        seen = asyncio.run(_send(int(api.url.rpartition(":")[2]), bodies))
        spent = _processor(api.process.pid) - began
        stored = len(events_since(api.database, limit=1_000_000))
        api.process.kill()
        api.process.wait()
    figures = seen.figures()
    return {
        "events_per_second": figures["requests_per_second"],
        "events_per_core_second": round(len(seen.seconds) / spent, 1),
        "p50_ms": figures["p50_ms"],
        "p99_ms": figures["p99_ms"],
        "refused": seen.not_2xx,
        "acknowledged_but_not_on_disk": max(0, len(seen.seconds) - seen.not_2xx - stored),
    }


async def _send(port: int, bodies: list[bytes]) -> Measured:
    """Closed-loop clients on kept connections, each body once."""
    seen, left = Measured(), iter(bodies)
    end = time.perf_counter() + SECONDS

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in left:
            head = f"POST /feedback HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            began = time.perf_counter()
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r")[0]))
            seen.seconds.append(time.perf_counter() - began)
            seen.not_2xx += b" 200 " not in answer[:20]
            if time.perf_counter() > end:
                break
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    seen.took = time.perf_counter() - began
    return seen


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kills(_rows: int) -> dict[str, float]:
    """kill -9 under load, fifty times: raises AssertionError where an acknowledged event is not on disk."""
    with tempfile.TemporaryDirectory() as folder:
        for time_ in range(50):
            test_api.killed(Path(folder), after=20 + 3 * time_)
    return {"kills": 50, "lost": 0}


def capture(_rows: int) -> dict[str, float]:
    """Two arms of one Bento, with and without the prediction log, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        bento, texts = the_bento(here)
        token.make_key(here / "feedback.key")
        bodies = [json.dumps({"text": text}).encode() for text in texts]
        rates: dict[str, list[float]] = {"with": [], "without": []}
        arms = {name: _arm(here, bento, logs=name == "with") for name in rates}
        for turn in range(9):
            for name, (process, port) in arms.items() if turn % 2 else reversed(arms.items()):
                before = _processor(process.pid)
                seen = asyncio.run(load(port, bodies, 3.0 if turn else 0.5))
                if turn:  # the first, short one warms up
                    rates[name].append(len(seen.seconds) / (_processor(process.pid) - before))
        for process, _ in arms.values():
            process.terminate()
            process.wait(30)
    logs, none = (statistics.median(rates[name]) for name in ("with", "without"))
    return {
        "predictions_per_core_second_with": round(logs, 1),
        "predictions_per_core_second_without": round(none, 1),
        "cost_percent": round(100 * (1 - logs / none), 2),
    }


def _arm(here: Path, bento: Path, *, logs: bool) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    env = {"COALMINE_FEEDBACK_KEY": str(here / "feedback.key"), "BENTOML_HOME": str(here / "bentoml")}
    env |= {"COALMINE_PREDICTIONS": str(here / "predictions")} if logs else {}
    command = [sys.executable, "-m", "coalmine.release.serve", "--port", str(port), "--bento", str(bento)]
    return start("arm", command, env, port), port


def join(rows: int) -> dict[str, float]:
    """The first join of all rows, by hand and by the lake over the same files; then an increment of a thousandth."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        lake = Lake.open(Settings(project=Path(folder), state=Path(folder), model="m"))
        for begin in range(0, rows, PART):
            lake.tables[PREDICTIONS].append(_predictions(begin, min(rows, begin + PART)))
        lake.tables[FEEDBACK].append(_feedback(0, rows, step=10))
        hand = _timed(lambda: _by_hand(lake, Path(folder)))
        ours = _timed(lake.join)
        hand = min(hand, _timed(lambda: _by_hand(lake, Path(folder))))
        labels = lake.labels().select(pl.len()).collect().item()
        lake.tables[FEEDBACK].append(_feedback(1, rows, step=10_000))
        more = _timed(lake.join)
    return {
        "predictions": rows,
        "labels": labels,
        "by_hand_seconds": round(hand, 2),
        "lake_seconds": round(ours, 2),
        "ratio": round(ours / hand, 2),
        "increment_seconds": round(more, 2),
    }


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _by_hand(lake: Lake, folder: Path) -> None:
    """As somebody would write it who needs it once: the last word on each prediction, joined, to Parquet."""
    said = lake.tables[FEEDBACK].scan().sort("t").unique("event_id", keep="first", maintain_order=True)
    said = said.group_by("prediction", maintain_order=True).agg(
        pl.col("value", "correction", "t").last(), events=pl.len()
    )
    columns = ["id", "t", "day", "tenant", "release", "arm", "model_version", "input", "label"]
    rows = lake.tables[PREDICTIONS].scan().select(columns)
    rows.join(said, left_on="id", right_on="prediction").sink_parquet(folder / "by-hand.parquet")


def _numbered(begin: int, end: int, step: int = 1) -> pl.DataFrame:
    numbers = pl.DataFrame({"n": pl.int_range(begin, end, step, eager=True)})
    tail = pl.col("n").cast(pl.String).str.zfill(12)
    return numbers.with_columns(id="01890a5d-ac96-774b-bcce-" + tail, at=T0 + pl.col("n") / 1000)


def _predictions(begin: int, end: int) -> pl.DataFrame:
    return _numbered(begin, end).select(
        "id",
        pl.col("at").alias("t"),
        day=pl.lit("2023-11-14"),
        tenant=pl.lit("default"),
        release=pl.lit(test_api.RELEASE),
        arm=pl.lit("primary"),
        model_version=pl.lit(2, pl.Int64),
        features_digest=pl.lit("d"),
        input="what was asked, number " + pl.col("n").cast(pl.String),
        output=pl.lit('{"label":"positive","score":0.75}'),
        label=pl.lit("positive"),
        score=pl.lit(0.75),
        latency_ms=pl.lit(1.5),
        sketch=pl.lit(None, pl.List(pl.Float32)),
    )


def _feedback(begin: int, end: int, *, step: int) -> pl.DataFrame:
    return _numbered(begin, end, step).select(
        pl.col("id").alias("event_id"),
        pl.col("id").alias("prediction"),
        t=pl.col("at") + 60,
        day=pl.lit("2023-11-14"),
        tenant=pl.lit("default"),
        release=pl.lit(test_api.RELEASE),
        predicted_at="at",
        kind=pl.lit("thumb"),
        value=(pl.col("n") % 3 > 0).cast(pl.Float64),
        correction=pl.lit(""),
        user=pl.lit(""),
    )


PARTS = {"feedback": feedback, "kills": kills, "capture": capture, "join": join}
AIMS = {
    "feedback": "at least 2,000 events a second on one core, p99 at most 20 ms",
    "kills": "nothing lost that was acknowledged",
    "capture": "at most 3 % of the throughput",
    "join": "at most 1.5 times the join by hand",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    busy = os.getloadavg()[0]
    for name in given.only.split(","):
        found[name] = PARTS[name](given.rows)
        print(json.dumps({name: found[name]}), flush=True)  # noqa: T201 (what this command says)
    if set(found) == set(PARTS) and given.rows == ROWS:
        PAGE.write_text(_page(found, busy), encoding="utf-8")
    return 0


def _page(found: dict[str, dict[str, float]], busy: float) -> str:
    rows = [
        f"| {part} | {AIMS[part]} | {name} | {value:,} |" for part, of in found.items() for name, value in of.items()
    ]
    return (
        "# What the lake reaches\n\n"
        f"Written by `make bench-lake` on {time.strftime('%Y-%m-%d', time.gmtime())}: {os.cpu_count()} cores, which\n"
        f"the load shares. Figures by the core are of the process's own processor time. {busy:.1f} processes were\n"
        "ready to run when it began (the load average of a minute): above 1, times are not this program's alone.\n\n"
        "| what | aim | figure | value |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
