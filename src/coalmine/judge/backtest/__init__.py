"""What is on record, decided again by the very fold and rules that run live, beside what others would have made of it.

Pure but for reading what was recorded. It decides nothing that runs.
"""

from coalmine.judge.backtest.baselines import flagger, z_test
from coalmine.judge.backtest.compare import Result, compare
from coalmine.judge.backtest.flagger import Check, Flagger, load_flagger
from coalmine.judge.backtest.recorded import Recording, from_database, from_files, from_prometheus, read_polls
from coalmine.judge.backtest.reference import TOLERANCE, check
from coalmine.judge.backtest.replay import Backtest, backtest, replay, to_json

__all__ = [
    "TOLERANCE",
    "Backtest",
    "Check",
    "Flagger",
    "Recording",
    "Result",
    "backtest",
    "check",
    "compare",
    "flagger",
    "from_database",
    "from_files",
    "from_prometheus",
    "load_flagger",
    "read_polls",
    "replay",
    "to_json",
    "z_test",
]
