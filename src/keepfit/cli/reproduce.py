"""`keepfit reproduce`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Progress, Report, table
from keepfit.core.digests import short
from keepfit.core.files import write_file
from keepfit.reproduction.proof import Output, Proof
from keepfit.reproduction.reproduce import reproduce


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", help="a model (delay@3, champion), or the id of a run, release, package or prediction")
    parser.add_argument(
        "--environment",
        choices=["auto", "current", "rebuild"],
        default="auto",
        help="this one, or one rebuilt from the record (default: this one where it is as recorded)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the signed proof there (DSSE, in-toto)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    progress = Progress()
    try:
        proof, envelope = reproduce(
            home, project.name, options.what, where=options.environment, told=lambda text: progress.show(f"{text} ...")
        )
    finally:
        progress.clear()
    lines = [f"{proof.reference}  {proof.run}: {_verdict(proof)}", ""]
    if proof.outputs:
        lines += [table(["output", "recorded", "made again", "equal"], [_row(o) for o in proof.outputs]), ""]
    lines += _environment(proof)
    if not proof.equal:
        lines += ["", f"first difference: {proof.difference}"]
        lines += [f"likely cause: {proof.cause}"] if proof.cause else []
        lines += [f"hint: {proof.hint}"] if proof.hint else []
    if proof.id:
        lines += ["", f"proof  {proof.id}, signed"]
    if options.out and envelope:
        write_file(options.out, envelope)
        lines += [f"       {options.out}"]
    value = {**_value(proof), "file": str(options.out) if options.out and envelope else None}
    return Report(value, "\n".join(lines), 0 if proof.equal else 3)


def _verdict(proof: Proof) -> str:
    if proof.equal:
        return "the same, bit for bit"
    return "not the same" if proof.outputs else "not made again"


def _row(output: Output) -> tuple[str, str, str, str]:
    word = "yes" if output.equal else "no" if output.must else "no, and need not"
    return output.name, _shown(output.recorded), _shown(output.made), word


def _shown(text: str | None) -> str:
    if not text:
        return "-"
    return short(text) if len(text) == 64 else text


def _environment(proof: Proof) -> list[str]:
    where = "this one" if proof.how == "current" else "rebuilt"
    lines = [f"environment  {where}: {proof.packages} packages, {'not all ' if proof.changes else ''}as recorded"]
    lines += [f"             {change}" for change in proof.changes]
    if proof.machine:
        lines.append(f"machine      {proof.machine.cpu}, {proof.machine.libc}")
    return [*lines, f"took         {proof.seconds:.1f} s"]


def _value(proof: Proof) -> dict[str, object]:
    import msgspec

    told: dict[str, object] = msgspec.to_builtins(proof)
    return {**told, "equal": proof.equal}
