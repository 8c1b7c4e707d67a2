"""A drawing as PNG, with Pillow and the font that it carries: no browser, no font of the machine.

Lines are painted twice as large and scaled down, which smooths them; text is smooth by itself.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from coalmine.judge.report.chart import Drawing, Label, Path, Point

if TYPE_CHECKING:
    from PIL import ImageDraw

_SCALE = 2  # pixels of the picture for one of the drawing: sharp on a slide
_FINER = 2
_PAPER = (255, 255, 255)
_COLOURS = {
    "ink": (29, 33, 38), "soft": (88, 97, 107), "rule": (217, 222, 230), "good": (26, 122, 74), "bad": (186, 43, 33),
    "wait": (138, 97, 0), "c0": (37, 99, 184), "c1": (168, 78, 9), "c2": (122, 63, 176), "c3": (15, 118, 113),
    "c4": (163, 25, 91),
}  # fmt: skip
_ANCHORS = {"start": "lm", "middle": "mm", "end": "rm"}


def paint(drawing: Drawing) -> bytes:
    """The drawing on white paper, twice its size in pixels."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 (only who asks for a picture pays for the library)

    fine = _SCALE * _FINER
    canvas = Image.new("RGB", (round(drawing.width * fine), round(drawing.height * fine)), _PAPER)
    brush = ImageDraw.Draw(canvas)
    for shape in drawing.shapes:
        if isinstance(shape, Path):
            _stroke(brush, shape, fine)
    size = (round(drawing.width * _SCALE), round(drawing.height * _SCALE))
    picture = canvas.resize(size, Image.Resampling.BOX)
    brush = ImageDraw.Draw(picture)
    for shape in drawing.shapes:
        if isinstance(shape, Label):
            font = ImageFont.load_default(shape.size * _SCALE)
            place, bold = (shape.x * _SCALE, shape.y * _SCALE), 0.6 if shape.bold else 0
            ink = _COLOURS[shape.colour]
            brush.text(place, shape.text, ink, font, _ANCHORS[shape.anchor], stroke_width=bold, stroke_fill=ink)
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=True)
    return written.getvalue()


def _stroke(brush: ImageDraw.ImageDraw, path: Path, scale: int) -> None:
    points = [(x * scale, y * scale) for x, y in path.points]
    if path.fill and len(points) > 2:
        brush.polygon(points, fill=_blend(path.fill, path.opacity))
    if path.stroke and len(points) > 1:
        width, ink = max(1, round(path.width * scale)), _blend(path.stroke, path.opacity)
        for piece in _dashes(points, scale) if path.dashed else [points]:
            brush.line(piece, fill=ink, width=width, joint="curve")


def _blend(colour: str, opacity: float) -> tuple[int, int, int]:
    red, green, blue = (round(a * opacity + b * (1 - opacity)) for a, b in zip(_COLOURS[colour], _PAPER, strict=True))
    return red, green, blue


def _dashes(points: Sequence[Point], scale: int) -> list[list[Point]]:
    """5 on, 4 off, along straight pieces."""
    found = []
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        for start in range(0, int(length), 9 * scale):
            ends = (start / length, min(1.0, (start + 5 * scale) / length))
            found.append([(x0 + (x1 - x0) * end, y0 + (y1 - y0) * end) for end in ends])
    return found
