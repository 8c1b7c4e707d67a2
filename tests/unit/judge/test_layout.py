"""What is walked by columns is what the JSON parser reads, line for line, in whatever state the lines are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.judge.sources.accesslog import parse
from coalmine.judge.sources.layout import Layout
from coalmine.judge.sources.words import Text, decimal

TEMPLATE = Path(__file__).parents[3] / "nginx" / "log.conf.j2"
FORMAT = "".join(re.findall(r"'(.*)'", TEMPLATE.read_text().split("log_format json", 1)[1].split(";\n", 1)[0]))
ORDINARY = {
    "msec": "1795476394.953", "request_id": "83520f3e12872e7aef82552684256b2d",
    "prediction": "01a20abb-93c9-73ef-aa8e-fe9cd89127a6", "sent_arm": "primary", "sent_slot": "blue",
    "sent_release": "m1-956d4e7", "sent_weight": "10", "sent_epoch": "2", "log_method": "POST", "log_path": "/predict",
    "log_status": "200", "upstream_status": "200", "request_time": "0.016", "upstream_response_time": "0.009",
    "service_ms": "6.7", "attempt": "", "user": "", "bytes_sent": "686", "ssl_protocol": "TLSv1.3", "traceparent": "",
    "client_id": "",
}  # fmt: skip
VALUES = {
    "msec": ["1795476395.001", "1795476394.000", "17954.953"],
    "prediction": [""],
    "sent_arm": ["canary", "canary", ""],
    "sent_slot": ["green", ""],
    "sent_release": ["m2-abcdef0", "m12-0123456789abcdef0123456789abcdef01234567", ""],
    "sent_weight": ["0", "100", "5"],
    "sent_epoch": ["3", "123456789"],
    "log_method": ["GET", ""],
    "log_path": ["/", "/a/long/way/to/" + "go/" * 60, "/with%22quotes", "/back\\\\slash", '/\\"quoted\\"'],
    "log_status": ["500", "429", "0", "499", "404"],
    "upstream_status": ["", "502, 200", "502, 504", "-", "429", "500"],
    "request_time": ["12.345", "0.000", "1234.567", "0.1", "3"],
    "upstream_response_time": ["", "-", "0.001, 0.250", "12.000", "1"],
    "service_ms": ["", "12.34", "123456789.123456789", "0.123456", "7", "00.5"],
    "attempt": ["1", "2", "10", "x"],
    "user": ["0123456789", "ffffffffff", "somebody", "0123", "ABCDEF0123"],
    "bytes_sent": ["0", "12345678", "1234567"],
    "ssl_protocol": ["", "TLSv1.2"],
    "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    "client_id": ["abc", "x" * 64, "y" * 200],
}


def written(facts: dict[str, str]) -> bytes:
    """A line as nginx writes it from its template."""
    values = {**ORDINARY, **facts}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], FORMAT).encode()


def odd() -> st.SearchStrategy[dict[str, str]]:
    names = st.lists(st.sampled_from(sorted(VALUES)), max_size=3, unique=True)
    return names.flatmap(lambda some: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in some}))


def torn(line: bytes, begin: int, length: int) -> bytes:
    begin %= len(line) + 1
    return line[:begin] + line[begin + length :]


whole = odd().map(written)
broken = st.builds(torn, whole, st.integers(0, 600), st.integers(0, 300))
rows = st.lists(st.one_of(whole, whole, broken, st.builds(bytes.__add__, broken, whole)), min_size=1, max_size=25)


def walked(data: bytes) -> float:
    """The share of the lines that were not left to the JSON parser."""
    text = Text(data)
    ends = np.flatnonzero(text.bytes == ord("\n"))
    return float(Layout().walk(text, np.concatenate([[0], ends[:-1] + 1]), ends).fits.mean())


@settings(max_examples=300)
@given(rows)
def test_any_lines_read_as_one_by_one(lines: list[bytes]) -> None:
    lines = [*lines, *[written({})] * 3]  # lines near the end of the bytes are left to the JSON parser
    found, skipped = parse(b"\n".join(lines) + b"\n")
    alone = [parse(line) for line in lines]
    assert list(found) == [item for items, _ in alone for item in items]
    assert skipped == sum(count for _, count in alone)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_the_layout_is_that_of_the_edges_template(name: str) -> None:
    usual = {"upstream_status", "upstream_response_time", "log_path", "client_id", "service_ms"}
    values = VALUES[name][:1] if name in usual else []
    lines = [written({name: value}) for value in values] + [written({})] * 200
    assert walked(b"\n".join(lines) + b"\n") > 0.95


def test_many_new_texts_do_not_push_out_the_layout() -> None:
    lines = [written({"sent_epoch": str(epoch), "log_path": f"/{epoch}"}) for epoch in range(1, 25) for _ in range(40)]
    assert walked(b"\n".join(lines) + b"\n") > 0.99


@given(st.integers(0, 9_999_999), st.integers(0, 6))
def test_a_decimal_is_the_double_that_python_reads(number: int, places: int) -> None:
    text = f"{number:07d}"[: 7 - places] + ("." + f"{number:07d}"[7 - places :] if places else "")
    word = np.frombuffer(text.encode()[:8].ljust(8, b"x"), dtype="<u8")
    value, good = decimal(word, np.array([min(len(text), 8)]))
    assert good[0]
    assert value[0] == float(text[:8])
