"""The table that a run comes to, on the terminal and in docs/performance.md."""

import datetime
import os
import pathlib
import platform
import subprocess

from .rows import ADDED, RATIO, VALUE

OPEN = "<!-- written by bench/run --write-doc -->"
CLOSE = "<!-- end of what is written -->"


def number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def limit(row, goal, reports):
    """A goal as a number: what nginx has in this run, where the goal says so."""
    return row.compared(reports, "nginx") if goal == "nginx" else goal


def mark(row, goal, compared, reports):
    goal = limit(row, goal, reports)
    if goal is None:
        return ""
    shown = f"{round(goal, 2):,g}"
    sign = "<" if row.id == "14" else "≤"
    met = "not measured" if compared is None else "met" if compared <= goal else "**not met**"
    return f"{sign} {shown} {met}"


def lines(rows, reports, targets):
    """The rows as Markdown. `targets` are the binaries: the one in question, then others beside it."""
    first, *others = targets
    extra = [title for it in others for title in (it, f"{it}, compared")]
    header = ["#", "measure", "direct", "nginx", first, "compared", "must", "aim", *extra]
    table = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        found = reports.get(row.phase, {})
        values = [number(row.value(found, it), row.digits) for it in ("direct", "nginx", first)]
        unit = f", {row.unit}" if row.unit else ""
        compared = row.compared(found, first)
        told = [comparison(row, found, first), mark(row, row.must, compared, found), mark(row, row.aim, compared, found)]
        beside = [cell for it in others for cell in (number(row.value(found, it), row.digits), comparison(row, found, it))]
        table.append("| " + " | ".join([row.id, row.title + unit, *values, *told, *beside]) + " |")
    return table


def comparison(row, found, target):
    compared = row.compared(found, target)
    return {RATIO: f"{number(compared, 2)} × nginx", ADDED: f"+{number(compared, 2)} (nginx +{number(row.compared(found, 'nginx'), 2)})",
            VALUE: ""}[row.kind]


def machine():
    """What the numbers were measured on."""
    model = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
             if line.startswith("model name")]
    nginx = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()
    return (f"{os.cpu_count()} cores of {model[0] if model else platform.processor()}, Linux {platform.release()}, "
            f"{nginx.removeprefix('nginx version: ')}")


def write(path, rows, reports, targets, rounds, seconds):
    """Writes the table between the marks of the document."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(OPEN)
    _, _, after = rest.partition(CLOSE)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    told = f"{today}, {machine()}; medians of {rounds} rounds of {seconds:g} s."
    path.write_text(before + "\n".join([OPEN, "", told, "", *lines(rows, reports, targets), "", CLOSE]) + after, encoding="utf-8")
