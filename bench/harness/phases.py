"""Phases of load: each sends one kind of request to every target in turn, in rounds."""

import contextlib
import dataclasses
import json
import statistics
import subprocess

from . import servers

SHORT = {"deltas": 20}
PACED = {"deltas": 200, "delay-us": 20000, "stamped": True}


@dataclasses.dataclass(frozen=True)
class Phase:
    """What is sent, and how; `beside` is sent at the same time without being counted."""

    name: str
    size: str
    wire: str = "responses"
    stream: bool = False
    order: dict = dataclasses.field(default_factory=lambda: SHORT)
    way: dict = dataclasses.field(default_factory=dict)
    tls: bool = False
    direct: bool = False
    once: bool = False
    beside: "Phase | None" = None


# Beyond it an overloaded machine leaves requests out: thousands waiting at once would be another measurement.
MANY = 400
AMONG = {"rate": 100, "connections": MANY, "warm-up": 2}
SLOW = Phase("slow readers", "small", stream=True, order={"deltas": 20000},
             way={"hold": 50, "read-rate": 20000, "ramp": 500, "seconds": 60})
MEGABYTES = Phase("requests of 1 MB", "megabyte", way={"rate": 20, "connections": MANY, "seconds": 60})
FEW = {"deltas": 20, "delay-us": 5000, "stamped": True}

PHASES = {it.name: it for it in [
    Phase("small", "small"),
    Phase("agent", "agent"),
    Phase("huge", "huge", way={"connections": 8}),
    Phase("chat small", "small", wire="chat"),
    Phase("chat agent", "agent", wire="chat"),
    Phase("paced", "agent", stream=True, order=PACED, way={"connections": 60, "warm-up": 1}),
    Phase("chat paced", "agent", wire="chat", stream=True, order=PACED, way={"connections": 60, "warm-up": 1}),
    Phase("burst", "small", stream=True, way={"rate": 1000, "connections": MANY}),
    Phase("first byte", "agent", stream=True, way={"rate": 50, "connections": MANY}, direct=True),
    Phase("sequential", "small", stream=True, way={"connections": 1}, direct=True),
    Phase("tls agent", "agent", tls=True),
    Phase("tls paced", "agent", stream=True, order=PACED, way={"connections": 60, "warm-up": 1}, tls=True),
    Phase("tls burst", "small", stream=True, way={"rate": 1000, "connections": MANY}, tls=True),
    Phase("among megabytes", "small", stream=True, order=FEW, way=AMONG, beside=MEGABYTES, direct=True),
    Phase("among slow", "small", stream=True, order=FEW, way=AMONG, beside=SLOW),
    Phase("tls among slow", "small", stream=True, order=FEW, way=AMONG, beside=SLOW, tls=True),
    Phase("hold 5000", "small", stream=True, order={"deltas": 120, "delay-us": 1000000, "stamped": True},
          way={"hold": 5000, "ramp": 2000}, once=True),
    Phase("hold 9000", "small", stream=True, order={"deltas": 120, "delay-us": 2000000, "stamped": True},
          way={"hold": 9000, "ramp": 2500}, once=True),
]}


@dataclasses.dataclass
class Target:
    """Something that is measured: started when a phase needs it."""

    name: str
    start: object
    relay: bool

    def path(self, wire):
        """A relay gets the backend's own path, since it translates nothing."""
        if wire == "chat":
            return "/v1/chat/completions"
        return "/backend-api/codex/responses" if self.relay else "/v1/responses"


def translates(phase):
    """Whether a chat phase is compared with a relay of the Responses events that a proxy reads for it:
    the relay of a whole chat answer would be another job."""
    return phase.wire == "chat" and not phase.stream


def command(phase, target, server, seconds, measured):
    wire = "responses" if target.relay and translates(phase) else phase.wire
    settings = {"address": f"127.0.0.1:{server.port}", "path": target.path(wire), "key": servers.KEY, "wire": wire,
                "size": phase.size, "stream": phase.stream, "seconds": seconds, **phase.order, **phase.way}
    words = [servers.RIG / "load"]
    for name, value in settings.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not False:
            words += [f"--{name}", str(value)]
    if measured:
        words += ["--process", str(server.id())]
    return words


@contextlib.contextmanager
def beside(phase, target, server):
    """Keeps the load beside a phase going as long as the phase."""
    if phase is None:
        yield
        return
    process = subprocess.Popen(command(phase, target, server, 60, False), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(phase, target, server, seconds):
    """One measurement: the report of the load generator, checked."""
    idle = servers.rss_kb(server.id())
    with beside(phase.beside, target, server):
        report = report_of(command(phase, target, server, seconds, True))
    report["rss_before_kb"] = idle
    return report


def report_of(words):
    """Runs the load generator."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise servers.Failed(f"the load ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def shortened(phase, held):
    """The phase with fewer held streams, for a smoke test."""
    if held is None or "hold" not in phase.way:
        return phase
    return dataclasses.replace(phase, way={**phase.way, "hold": min(held, phase.way["hold"])})


def run(phase, targets, size, note):
    """Interleaves the targets round by round: `{target: [report]}`. A phase of held streams runs once, on
    fresh processes."""
    phase = shortened(phase, size["held"])
    chosen = [it for it in targets if it.name != "direct" or phase.direct]
    reports = {it.name: [] for it in chosen}
    with contextlib.ExitStack() as stack:
        running = {}
        for number in range(1 if phase.once else size["rounds"]):
            # Whoever comes first meets another machine than whoever comes last.
            turn = number % len(chosen)
            for target in chosen[turn:] + chosen[:turn]:
                if target.name not in running:
                    running[target.name] = target.start(phase.tls)
                    stack.callback(running[target.name].stop)
                report = measure(phase, target, running[target.name], size["seconds"])
                first = [*reports[target.name], report][0]
                report["rss_first_kb"] = first["rss_before_kb"]
                reports[target.name].append(report)
    for name, them in reports.items():
        if wrong := [it for it in them if it["errors"]]:
            count, words = sum(it["errors"] for it in wrong), wrong[0]["first_error"]
            note(f"{phase.name} on {name}: {count} errors, like {words}")
        if left := sum(it["skipped"] for it in them):
            note(f"{phase.name} on {name}: {left} requests could not be sent in time, the machine was too busy", fatal=False)
        if any(it["begun"] == 0 for it in them):
            note(f"{phase.name} on {name}: no answer")
    return reports


def median(values):
    values = [it for it in values if it is not None]
    return statistics.median(values) if values else None
