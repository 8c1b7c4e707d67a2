"""`python -m coalmine.judge.report`: facts as JSON in, the main plot as PNG out.

A process of its own for a controller that lives for months: the imaging library would stay in its memory.
"""

from __future__ import annotations

import json
import sys

from coalmine.judge import report

if __name__ == "__main__":
    sys.stdout.buffer.write(report.png(json.load(sys.stdin)))
