"""`python -m faceid.bench [names…] [--json] [--list]`: the figures as a table. Owns the command line only."""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from faceid.bench.figures import FIGURES, Figure
from faceid.bench.machine import describe_machine
from faceid.cuda import has_cuda
from faceid.errors import FaceIDError

WIDTH, INDENT = 118, " " * 4


def main(arguments: Sequence[str] | None = None, figures: Sequence[Figure] = FIGURES) -> int:
    """Measure and print; 1 where a figure could not be measured, 2 (by argparse) for an unknown name."""
    options = _parse_arguments(arguments, [name for f in figures for name in (f.name, group(f))])
    figures = [figure for figure in figures if not options.names or {figure.name, group(figure)} & set(options.names)]
    if options.list:
        print("\n".join(f"{f.name:15}{f.promise:10} {f.what} ({f.source})" for f in figures))
        return 0
    figures = [figure for figure in figures if options.names or not figure.needs_cuda or has_cuda(zero_gpu=False)]
    machine = describe_machine()
    if options.json:
        rows = list(_measure_each(figures))
        print(json.dumps({"machine": machine, "figures": rows}, indent=2, ensure_ascii=False))
        return int(any("error" in row for row in rows))
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"\n{'figure':15}{'value':>10}   target", flush=True)
    failed = False
    for row in _measure_each(figures):
        print(_table_row(row), flush=True)
        failed |= "error" in row
    return int(failed)


def group(figure: Figure) -> str:
    """What figures that belong together are called by: `http` is http-get, http-page, http-malformed."""
    return "http" if figure.name.startswith("http-") else figure.name


def _parse_arguments(arguments: Sequence[str] | None, known: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m faceid.bench", description="Measure what the project promises.")
    parser.add_argument("names", nargs="*", metavar="name", help="figures to measure; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of the table")
    parser.add_argument("--list", action="store_true", help="list the figures and their targets, measure nothing")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such figure. Known: {', '.join(dict.fromkeys(known))}.")
    return options


def _measure_each(figures: Iterable[Figure]) -> Iterator[dict[str, Any]]:
    """Each figure as JSON's row, as soon as it is measured; what this machine cannot measure has an `error`."""
    for figure in figures:
        row = {"name": figure.name, "unit": figure.unit, "target": figure.promise, "source": figure.source}
        try:
            measured = figure.measure()
        except FaceIDError as error:
            yield row | {"error": str(error)}
        else:
            yield row | {"value": measured.value, "met": figure.is_met(measured.value), "done": measured.done}


def _table_row(row: Mapping[str, Any]) -> str:
    """One figure: name, value, target, whether it is met; below, what was done."""
    if "error" in row:
        value, verdict = "–", "not measured"
    else:
        value, verdict = (
            f"{row['value']:{'d' if isinstance(row['value'], int) else '.3f'}} {row['unit']}".rstrip(),
            "met" if row["met"] else "MISSED",
        )
    verdict = verdict if row["target"] else ""
    lines = (row.get("done") or row["error"]).splitlines()
    text = "\n".join(line if line.startswith("|") else _indent(line) for line in lines)  # a table stays one
    return f"{row['name']:15}{value:>10}   {row['target']:10} {verdict}\n{text}"


def _indent(line: str) -> str:
    return textwrap.fill(line, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


if __name__ == "__main__":
    sys.exit(main())
