"""Plots as SVG text: plain marks in the page's own colours, every text escaped, nothing fetched, no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from keepfit.pages.spark import figure

WIDTH, HEIGHT = 680, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 26, 34
COLOURS = 8
"""Colours the page has, named `--c0` to `--c7`; further lines take them again, dashed."""
POINTS = 400
"""Points that are drawn of one line."""


class Line(NamedTuple):
    """A named line: x and y of its points; a point that is not finite is a gap."""

    name: str
    points: Sequence[tuple[float, float]]


def lines(found: Sequence[Line], *, x: str, y: str, dots: Sequence[tuple[float, float]] = ()) -> str:
    """Lines over one pair of axes, with a key of their names; `dots` are drawn without a line."""
    every = [p for line in found for p in line.points] + list(dots)
    across, up = (
        _scale([p[0] for p in every], _LEFT, WIDTH - _RIGHT),
        _scale([p[1] for p in every], HEIGHT - _BOTTOM, _TOP),
    )
    marks = [*_frame(across, up, x, y)]
    for at, value in dots:
        if math.isfinite(at) and math.isfinite(value):
            marks.append(f'<circle class="dot" cx="{across(at):.1f}" cy="{up(value):.1f}" r="3"/>')
    for number, line in enumerate(found):
        path = _path(
            (across(a), up(b)) if math.isfinite(a) and math.isfinite(b) else None for a, b in _few(line.points)
        )
        marks.append(f'<path {_stroke(number)} d="{path}"><title>{escape(line.name)}</title></path>')
    return _svg(marks) + _key([line.name for line in found])


def parallel(rows: Sequence[Mapping[str, object]], axes: Sequence[str], logarithmic: Collection[str] = ()) -> str:
    """Parallel coordinates: one upright axis per name, one line per row, coloured by its place on the last axis."""
    scales = [_Axis([row.get(axis) for row in rows], axis in logarithmic) for axis in axes]
    spread, top, bottom = (WIDTH - 2 * _LEFT) / max(1, len(axes) - 1), 46, HEIGHT - _BOTTOM
    marks = []
    for row in rows:
        places = [scale.place(row.get(axis)) for axis, scale in zip(axes, scales, strict=True)]
        points = [(_LEFT + i * spread, bottom - p * (bottom - top)) for i, p in enumerate(places) if p is not None]
        shade = 0.2 + 0.8 * (places[-1] if places and places[-1] is not None else 0.0)
        told = ", ".join(f"{axis} {figure(row.get(axis))}" for axis in axes)
        path = _path(points)
        marks.append(f'<path class="row" style="opacity:{shade:.2f}" d="{path}"><title>{escape(told)}</title></path>')
    for i, (axis, scale) in enumerate(zip(axes, scales, strict=True)):
        at = _LEFT + i * spread
        marks.append(f'<line class="axis" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
        anchor = "start" if i == 0 else "end" if i == len(axes) - 1 else "middle"
        side = {"start": -_LEFT, "end": _LEFT}.get(anchor, 0)
        marks.append(
            _text(at + side, 12 + 12 * (i % 2), axis[:24], anchor, "name")
        )  # neighbours may be long: not beside
        marks.append(_text(at, top - 8, scale.high, "middle"))
        marks.append(_text(at, bottom + 14, scale.low, "middle"))
    return _svg(marks)


def bars(values: Mapping[str, float]) -> str:
    """One bar along per name, the longest for the greatest value."""
    most, height = max([*values.values(), 1e-12]), 24 * len(values) + 8
    marks = []
    for i, (name, value) in enumerate(values.items()):
        y = 8 + 24 * i
        length = max(0.0, value / most) * (WIDTH - 260)
        marks.append(f'<rect class="bar" x="180" y="{y}" width="{length:.1f}" height="16" rx="2"/>')
        marks.append(_text(172, y + 12, name[:26], "end", "name"))
        marks.append(_text(188 + length, y + 12, figure(value), "start"))
    return _svg(marks, height)


def histogram(low: float, high: float, counts: Sequence[int], *, x: str) -> str:
    """Counts in equal steps from `low` to `high`."""
    across, up = _Scale(low, high, _LEFT, WIDTH - _RIGHT), _Scale(0, max([*counts, 1]), HEIGHT - _BOTTOM, _TOP)
    width = (WIDTH - _RIGHT - _LEFT) / max(1, len(counts))
    marks = [*_frame(across, up, x, "rows")]
    for i, count in enumerate(counts):
        top = up(count)
        marks.append(
            f'<rect class="bar" x="{_LEFT + i * width + 0.5:.1f}" y="{top:.1f}" width="{max(width - 1, 0.5):.1f}" '
            f'height="{HEIGHT - _BOTTOM - top:.1f}"/>'
        )
    return _svg(marks)


def squares(names: Sequence[str], value: Callable[[str, str], float | None]) -> str:
    """One square per pair of names, the stronger the nearer to 1 or -1 its value; -1 in the second colour."""
    side = min(28.0, (WIDTH - 180) / max(1, len(names)))
    marks = []
    for i, row in enumerate(names):
        y = 8 + i * side
        marks.append(_text(172, y + side * 0.7, row[:26], "end", "name"))
        for j, column in enumerate(names[:i]):
            if (found := value(row, column)) is None:
                continue
            colour = "var(--c0)" if found >= 0 else "var(--c1)"
            told = escape(f"{row}, {column}: {found:+.3f}")
            marks.append(
                f'<rect x="{180 + j * side:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" '
                f'style="fill:{colour};opacity:{max(0.04, abs(found)):.2f}"><title>{told}</title></rect>'
            )
    return _svg(marks, round(16 + len(names) * side))


class _Axis:
    """Where the values of one name stand between 0 and 1: numbers by size, others one above the other."""

    def __init__(self, values: Sequence[object], logarithmic: bool) -> None:
        numbers = [float(v) for v in values if isinstance(v, int | float) and _is_number(v)]
        self._levels = sorted({figure(v) for v in values if v is not None and not _is_number(v)})
        self._log = logarithmic and min(numbers, default=0.0) > 0
        scaled = [math.log(v) for v in numbers] if self._log else numbers
        self._scale = _scale(scaled, 0.0, 1.0) if numbers and not self._levels else None
        self.low = figure(min(numbers)) if self._scale else next(iter(self._levels), "")[:12]
        self.high = figure(max(numbers)) if self._scale else (self._levels or [""])[-1][:12]
        if not self._scale and numbers:
            self._levels = sorted({*self._levels, *map(figure, numbers)})

    def place(self, value: object) -> float | None:
        if self._scale:
            if not isinstance(value, int | float) or not _is_number(value):
                return None
            return self._scale(math.log(value) if self._log else float(value))
        if value is None or figure(value) not in self._levels:
            return None
        return (self._levels.index(figure(value)) + 0.5) / len(self._levels)


class _Scale(NamedTuple):
    """From values to places along a line."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high / 2 - self.low / 2
        share = (value / 2 - self.low / 2) / span if span > 0 else 0.5
        return self.start + share * (self.end - self.start)


def _scale(values: Sequence[float], start: float, end: float) -> _Scale:
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    return _Scale(min(finite), max(finite), start, end)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _few(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    stride = max(1, math.ceil(len(points) / POINTS))
    yield from points[::stride]
    if points and (len(points) - 1) % stride:
        yield points[-1]


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return "".join([*parts, "h0.1"] if len(parts) == 1 else parts)


def _frame(across: _Scale, up: _Scale, x: str, y: str) -> Iterator[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = up.low * (1 - share) + up.high * share
        at = bottom - share * (bottom - _TOP)
        yield f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>'
        if up.high > up.low or share == 0.5:
            yield _text(_LEFT - 6, at + 4, figure(value), "end")
    yield _text(_LEFT, bottom + 14, figure(across.low), "start")
    yield _text(right, bottom + 14, figure(across.high), "end")
    yield _text((_LEFT + right) / 2, bottom + 28, x[:60], "middle", "name")
    yield _text(_LEFT, 14, y[:60], "start", "name")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _stroke(number: int) -> str:
    dash = ";stroke-dasharray:6 3" if number >= COLOURS else ""
    return f'class="line" style="stroke:var(--c{number % COLOURS}){dash}"'


def _key(names: Sequence[str]) -> str:
    swatches = (
        f'<span><i style="border-top:.25rem {"dashed" if n >= COLOURS else "solid"} var(--c{n % COLOURS})"></i>'
        f"{escape(name)}</span>"
        for n, name in enumerate(names)
    )
    return f'<p class="key">{"".join(swatches)}</p>' if len(names) > 1 else ""


def _svg(marks: Iterable[str], height: int = HEIGHT) -> str:
    return f'<div class="plot"><svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(marks)}</svg></div>'
