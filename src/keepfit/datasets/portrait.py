"""A profile as one HTML page, below a megabyte however wide the table is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from keepfit.datasets.profile import ColumnProfile, Profile
from keepfit.datasets.relate import Relation
from keepfit.pages.drawing import Line, bars, histogram, lines, squares
from keepfit.pages.page import html_table, page
from keepfit.pages.spark import figure

DRAWN = 60
"""Columns that are drawn; of more, the first ones, and all are in the table."""
LISTED = 1500
RELATED = 12
PAIRS = 15
LEVELS = 12
NOTABLE = 0.02


class Portrait(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, and what the columns say of the label if there is one; a notebook shows it as the page."""

    title: str
    profile: Profile
    label: str | None = None
    relations: list[Relation] = []
    """The strongest first."""
    suspects: dict[str, str] = {}
    """Columns that give the label away -> why."""

    def html(self) -> str:
        """The page."""
        return page(self.title, [(heading, content) for heading, content in _sections(self) if content])

    def _repr_html_(self) -> str:
        return self.html()


def told(profile: Profile) -> list[tuple[str, ...]]:
    """For each column what kind it is, what is missing, how many values it has, and what they are like."""
    rows = max(profile.rows, 1)
    return [
        (
            c.name,
            c.kind,
            f"{c.missing / rows:.1%}" if c.missing else "-",
            f"{'' if c.exact else 'about '}{c.distinct:,}",
            _like(c),
            f"{c.least:.4g} to {c.most:.4g}"
            if isinstance(c.least, float)
            else f"{c.least} to {c.most}"
            if c.least
            else "",
        )
        for c in profile.columns
    ]


HEAD = ("column", "kind", "missing", "values", "mean, or the commonest", "range")


def _sections(found: Portrait) -> Iterator[tuple[str, str]]:
    profile = found.profile
    span = f" from {profile.blocks[0]} to {profile.blocks[-1]}" if profile.time and profile.blocks else ""
    yield (
        "Overview",
        f"<p>{profile.rows:,} rows, {len(profile.columns):,} columns, {len(profile.blocks)} blocks"
        f"{' of time' if profile.time else ' of rows'}{escape(span)}</p>" + html_table(HEAD, told(profile)[:LISTED]),
    )
    yield "Columns that give the label away", html_table(("column", "why"), found.suspects.items())
    yield f"What is known of {found.label}", _relations(found.relations)
    yield "How columns go together", _together(profile)
    yield "What is missing", _missing(profile)
    for column in profile.columns[:DRAWN]:
        yield f"{column.name} ({column.kind})", _column(column, profile)


def _relations(relations: Sequence[Relation]) -> str:
    strongest = relations[:RELATED]
    if not strongest:
        return ""
    drawn = bars({r.column: r.explained for r in strongest if r.explained > 0} or {strongest[0].column: 0.0})
    return (
        '<p class="dim">the share of its variance that one column alone explains, in a sample of the rows</p>'
        + drawn
        + "".join(f"<p>{escape(r.column)}</p>{_relation(r)}" for r in strongest[:4])
    )


def _relation(relation: Relation) -> str:
    head = ("", "rows of the sample", "label")
    return html_table(head, ((name, f"{rows:,}", figure(mean)) for name, rows, mean in relation.cells))


def _together(profile: Profile) -> str:
    strongest = sorted(profile.together, key=lambda t: -abs(t.correlation))
    if not strongest:
        return ""
    names = list(dict.fromkeys([t.first for t in profile.together] + [t.second for t in profile.together]))
    values = {(t.first, t.second): t.correlation for t in profile.together}
    head = ("", "", "correlation by rank")
    rows = ((t.first, t.second, f"{t.correlation:+.3f}") for t in strongest[:PAIRS])
    return squares(names, lambda a, b: values.get((a, b), values.get((b, a)))) + html_table(head, rows)


def _missing(profile: Profile) -> str:
    gaps = {c.name: c.missing / max(profile.rows, 1) for c in profile.columns if c.missing}
    most = dict(sorted(gaps.items(), key=lambda g: -g[1])[:RELATED])
    if not most:
        return ""
    found = [c for c in profile.columns if c.name in most and max(c.gaps, default=0) - min(c.gaps, default=0) > NOTABLE]
    courses = [Line(c.name, list(enumerate(c.gaps))) for c in found]
    return bars(most) + (lines(courses, x=_axis(profile), y="share missing") if courses else "")


def _column(column: ColumnProfile, profile: Profile) -> str:
    drawn = ""
    if column.bars:
        unit = {"text": "length", "time": "days since 1970"}.get(column.kind, column.name)
        drawn = histogram(column.low, column.high, column.bars, x=unit)
    elif part := column.part("level"):
        most = dict(list(zip(part.levels, part.counts, strict=False))[:LEVELS])
        drawn = bars(most) if most else ""
    course = [(i, v) for i, v in enumerate(column.course) if v is not None]
    if len(course) > 1 and column.kind != "time" and len({v for _, v in course}) > 1:
        what = {"text": "mean length", "level": "share of the commonest level"}.get(column.kind, "mean")
        drawn += lines([Line(column.name, course)], x=_axis(profile), y=what)
    return drawn + f'<p class="dim">such as: {escape(", ".join(column.examples))}</p>'


def _axis(profile: Profile) -> str:
    return f"{profile.blocks[0]} to {profile.blocks[-1]}" if profile.blocks else ""


def _like(column: ColumnProfile) -> str:
    if column.kind == "level" and (part := column.part("level")) and part.levels:
        return f"{part.levels[0][:40]} ({part.counts[0] / max(sum(part.counts), 1):.1%})"
    part = column.part({"text": "length", "number": "value"}.get(column.kind, "lead"))  # type: ignore[arg-type]
    if part is None or part.mean is None:
        return ""
    return f"{'length ' if column.kind == 'text' else ''}{part.mean:.4g} ± {part.sd or 0:.3g}"
