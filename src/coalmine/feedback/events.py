"""The body of POST /feedback, read into an event: what somebody says of a prediction, or did after it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from coalmine.errors import BadInput, Refused
from coalmine.feedback import token
from coalmine.feedback.store import event_id
from coalmine.records import Event, Kind

LONGEST_USER = 200
LONGEST_CORRECTION = 200
LONGEST_EVENT_ID = 100
OLDEST_SECONDS = 30 * 86_400.0
FUTURE_SECONDS = 60.0  # two clocks of one installation differ by less
LONGEST_DWELL = 86_400.0
_THUMBS = {"up": 1.0, "down": 0.0}


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, what: str, field: str = "") -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.field = field


def read_event(body: bytes, *, key: bytes, now: float, oldest: float = OLDEST_SECONDS) -> Event:
    """The event in a request's body. Raises Refusal: 400 no JSON, 403 forged, 410 too old, 422 a field is wrong."""
    row = _object(body)
    kind, value = _said(row)
    correction = _text(row, "correction", LONGEST_CORRECTION)
    if kind is None and not correction:
        raise Refusal(422, 'give "thumb", "rating", "correction", "click", "conversion" or "dwell"', "thumb")
    if correction and kind is not None and not kind.explicit:
        raise Refusal(422, f"goes with a thumb or a rating or alone, not with a {kind}", "correction")
    kind = kind or Kind.CORRECTION
    user = _text(row, "user", LONGEST_USER)
    name = _text(row, "event_id", LONGEST_EVENT_ID)
    signed = _signed(row.get("prediction_id"), key)
    _refuse_times(signed.predicted_at, now, oldest)
    # A client's id is one among the ids of its own prediction: nobody can use up another's.
    given = (name,) if name else (kind, value, correction, user)
    return Event(
        event_id(signed.prediction, *given),
        *(signed.prediction, signed.release, signed.predicted_at, now, kind),
        value=value,
        correction=correction,
        user=user,
        tenant=signed.tenant,
    )


def _object(body: bytes) -> dict[str, object]:
    try:
        row = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is no JSON in UTF-8") from None
    if not isinstance(row, dict):
        raise Refusal(422, 'not an object like {"prediction_id": "...", "thumb": "up"}')
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise Refusal(422, f"unknown; known are {', '.join(sorted(_FIELDS))}", unknown[0])
    return row


def _said(row: dict[str, object]) -> tuple[Kind | None, float | None]:
    """The kind of event and its value; None where there is at most a correction."""
    given = [name for name in _VALUES if row.get(name) is not None]
    if len(given) > 1:
        raise Refusal(422, f"an event has one kind, and {given[0]} is given already: send two", given[1])
    if not given:
        return None, None
    return Kind(given[0]), _VALUES[given[0]](row[given[0]])


def _thumb(value: object) -> float:
    if not isinstance(value, str) or value not in _THUMBS:
        raise Refusal(422, 'neither "up" nor "down"', "thumb")
    return _THUMBS[value]


def _rating(value: object) -> float:
    if isinstance(value, bool) or value not in (1, 2, 3, 4, 5):
        raise Refusal(422, "not a whole number from 1 to 5", "rating")
    return float(value)


def _click(value: object) -> float:
    if value is not True:
        raise Refusal(422, "not true: what did not happen is not sent", "click")
    return 1.0


def _conversion(value: object) -> float:
    return 1.0 if value is True else _number(value, "conversion", most=math.inf)


def _dwell(value: object) -> float:
    return _number(value, "dwell", most=LONGEST_DWELL)


def _number(value: object, field: str, *, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or value == math.inf:
        raise Refusal(422, "not a number of at least 0" + (f" and at most {most:g}" if most < math.inf else ""), field)
    return float(value)


_VALUES: Mapping[str, Callable[[object], float]] = {
    "thumb": _thumb,
    "rating": _rating,
    "click": _click,
    "conversion": _conversion,
    "dwell": _dwell,
}
_FIELDS = {"prediction_id", "correction", "user", "event_id", *_VALUES}


def _text(row: dict[str, object], field: str, longest: int) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Refusal(422, "not a printable string", field)
    if len(value) > longest:
        raise Refusal(422, f"longer than {longest} characters", field)
    return value.strip()


def _signed(value: object, key: bytes) -> token.Signed:
    if not isinstance(value, str):
        raise Refusal(422, "not a string" if value is not None else "missing", "prediction_id")
    try:
        return token.verify(value, key=key)
    except Refused as error:
        raise Refusal(403, error.what, "prediction_id") from None
    except BadInput as error:
        raise Refusal(422, error.what, "prediction_id") from None


def _refuse_times(predicted_at: float, now: float, oldest: float) -> None:
    if now - predicted_at > oldest:
        raise Refusal(410, f"the prediction is older than {oldest / 86_400:g} days: votes on it no longer count")
    if predicted_at - now > FUTURE_SECONDS:
        raise Refusal(422, "the prediction lies in the future: the clocks of this installation differ", "prediction_id")
