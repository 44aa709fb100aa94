"""Counts of instructions, by callgrind: the same for the same work, whatever else the machine does."""

import collections
import pathlib
import re
import subprocess

from . import phases, servers

CORE = ["cargo", "bench", "--locked", "-p", "godex-core", "--bench", "instructions", "--no-run"]
SECONDS = 300
TOP = 10

REQUESTS = {"deltas": 20}
EVENTS = {"deltas": 200, "delay-us": 20000}
# What is counted of the whole program: name, what there is one of, how often before and while it is counted.
WHOLE = [
    ("request of 62 KB", "ok", phases.Phase("", "agent", order=REQUESTS, way={"connections": 1}), 20, 60),
    ("request of 62 KB, chat", "ok", phases.Phase("", "agent", wire="chat", order=REQUESTS, way={"connections": 1}), 20, 60),
    ("request of 1 KB", "ok", phases.Phase("", "small", order=REQUESTS, way={"connections": 1}), 20, 60),
    ("stream of 28 events", "ok", phases.Phase("", "small", stream=True, order=REQUESTS, way={"connections": 1}), 20, 60),
    ("paced event", "events", phases.Phase("", "small", stream=True, order=EVENTS, way={"connections": 2}), 2, 2),
    ("paced event, chat", "events", phases.Phase("", "small", wire="chat", stream=True, order=EVENTS, way={"connections": 2}), 2, 2),
]


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, **more)
    if done.returncode != 0:
        raise servers.Failed(f"{command[0]} failed: {(done.stdout + done.stderr)[-1000:]}")
    return done.stdout


def core(folder):
    """`(name, instructions)` of every step of the pure half: of one request or one event."""
    built = subprocess.run(CORE, cwd=servers.ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"Executable .*\((.*)\)", built.stderr)
    if not found:
        raise servers.Failed(f"the benches cannot be built: {built.stderr[-1000:]}")
    binary = servers.ROOT / found.group(1)

    def counted(*arguments):
        file = folder / "core.out"
        run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", binary, *arguments])
        return total(file)

    before = counted("nothing")
    for line in run([binary]).splitlines():
        times, name = line.split("\t")
        yield name, (counted(name) - before) / int(times)


def total(file):
    text = file.read_text(encoding="utf-8", errors="replace")
    return int(re.search(r"^totals: (\d+)", text, re.M).group(1))


class Counted:
    """A proxy inside callgrind, which counts only what it is told to."""

    def __init__(self, world, binary):
        self.out = world.folder / "whole.out"
        inside = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}"]
        self.server = world.proxy(binary, inside=inside)
        self.dumps = 0

    def tell(self, *words):
        run(["callgrind_control", *words, str(self.server.id())])

    def send(self, phase, requests):
        target = phases.Target("godex", None, False)
        command = [*phases.command(phase, target, self.server, SECONDS, False), "--requests", str(requests), "--warm-up", "0"]
        report = phases.report_of(command)
        if report["errors"]:
            raise servers.Failed(f"{report['errors']} errors, like {report['first_error']}")
        return report

    def count(self, phase, unit, before, while_counted):
        """Instructions for one, and the file that says where."""
        self.send(phase, before)
        self.tell("--zero")
        self.tell("--instr=on")
        report = self.send(phase, while_counted)
        self.tell("--instr=off")
        self.tell("--dump")
        self.dumps += 1
        file = pathlib.Path(f"{self.out}.{self.dumps}")
        return total(file) / report[unit], file


def whole(world, binary):
    """`(name, instructions, file)` of the program's own part, the kernel's excluded."""
    counted = Counted(world, binary)
    try:
        for name, unit, phase, before, while_counted in WHOLE:
            yield name, *counted.count(phase, unit, before, while_counted)
    finally:
        counted.server.stop()


def top(file):
    """The functions that cost most, what is inlined into them included: `(percent, name)`."""
    text = run(["callgrind_annotate", "--auto=no", "--threshold=100", file])
    costs = collections.Counter()
    for count, place in re.findall(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)$", text, re.M):
        # `source file:function [object]`; a function has a line for each file that is inlined into it.
        function = re.sub(r"^[^:]*:(?!:)", "", place).split(" [")[0]
        costs[function] += int(count.replace(",", ""))
    everything = costs.pop("PROGRAM TOTALS")
    return [(100 * cost / everything, function) for function, cost in costs.most_common(TOP)]
