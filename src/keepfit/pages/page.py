"""One HTML page that can be kept and sent: no script, nothing fetched, in the reader's own light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root{color-scheme:light dark;--ink:#1a1d21;--dim:#667;--paper:#fff;--rule:#dde;--add:#e2f5e6;--del:#fbe5e5;
--c0:#0b63ce;--c1:#c8500a;--c2:#15803d;--c3:#a21caf;--c4:#b48a00;--c5:#0e7490;--c6:#be123c;--c7:#57534e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--dim:#99a;--paper:#15181c;--rule:#333a44;--add:#143322;
--del:#3d1d1f;--c0:#6cb0ff;--c1:#ff9d5c;--c2:#5fd38a;--c3:#e28cf0;--c4:#e6c34a;--c5:#5cc8dc;--c6:#ff7f98;--c7:#b8b3ad}}
body{margin:2rem auto;max-width:60rem;padding:0 1rem;color:var(--ink);background:var(--paper);
font:15px/1.5 system-ui,sans-serif}h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:2rem}
table{border-collapse:collapse;display:block;overflow-x:auto;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.2rem .9rem .2rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
td,th{white-space:nowrap}th{color:var(--dim);font-weight:600}pre{overflow-x:auto;font-size:13px;line-height:1.4}
pre .add{background:var(--add)}pre .del{background:var(--del)}.dim,.key{color:var(--dim)}
.plot{overflow-x:auto}
svg{width:100%;height:auto;min-width:36rem;max-width:52rem;font:11px system-ui,sans-serif}
svg text{fill:var(--dim)}
svg .name{fill:var(--ink);font-weight:600}svg .grid,svg .axis{stroke:var(--rule)}svg .line{fill:none;stroke-width:1.8}
svg .row{fill:none;stroke:var(--c0);stroke-width:1.5}svg .dot,svg .bar{fill:var(--c0)}
.key span{display:inline-block;margin-right:1.2rem}.key i{display:inline-block;width:1.2rem;
margin-right:.4rem;vertical-align:middle}
"""
_LONGEST = 200_000
"""Characters of a diff that a page shows."""


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """The page of these sections: a heading, and its content as HTML; empty ones are left out."""
    body = "".join(f"<h2>{escape(heading)}</h2>\n{content}\n" for heading, content in sections if content)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}</body></html>\n"
    )


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain texts; empty without rows."""
    lines = ["<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{top}</tr>{''.join(lines)}</table>" if lines else ""


def html_list(items: Iterable[str]) -> str:
    """A list of plain texts; empty without items."""
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def html_diff(diff: str) -> str:
    """A unified diff, its added and removed lines marked; empty when there is none."""
    if not diff:
        return ""
    shown = diff[:_LONGEST]
    kinds = {"+": "add", "-": "del"}
    lines = (
        f'<span class="{kinds[line[0]]}">{escape(line)}</span>' if line[:1] in kinds else escape(line)
        for line in shown.split("\n")
    )
    more = (
        f'\n<span class="dim">and {len(diff) - len(shown):,} more characters</span>' if len(diff) > len(shown) else ""
    )
    return "<pre>" + "\n".join(lines) + more + "</pre>"
