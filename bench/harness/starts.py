"""What needs no load: the start, the memory of a proxy that does nothing, the size of the binary."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

from . import servers

SETTLE_SECONDS = 0.7


def binary_mb(path, folder):
    """The size without symbols."""
    stripped = folder / "stripped"
    shutil.copy(path, stripped)
    subprocess.run(["strip", stripped], check=True, capture_output=True)
    size = stripped.stat().st_size
    stripped.unlink()
    return size / 1e6


def one(start):
    """Starts a server for its times alone."""
    server = start()
    time.sleep(SETTLE_SECONDS)
    report = {"started_ms": server.started_ms, "idle_mb": servers.rss_kb(server.id()) / 1024}
    server.stop()
    return report


@contextlib.contextmanager
def usage_log(world, binary, size):
    """A usage log of so many bytes, made of a line that the proxy itself wrote."""
    server = world.proxy(binary)
    sample = world.folder / f"{world.number}-godex/usage.jsonl"
    command = [servers.RIG / "load", "--address", f"127.0.0.1:{server.port}", "--path", "/v1/responses", "--key", servers.KEY,
               "--wire", "responses", "--size", "small", "--connections", "1", "--requests", "1", "--warm-up", "0"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    end = time.monotonic() + 10
    while not (sample.exists() and sample.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    server.stop()
    line = sample.read_bytes().splitlines(keepends=True)[-1]
    log = world.folder / "usage.jsonl"
    block = line * max(1, (1 << 20) // len(line))
    try:
        with open(log, "wb") as file:
            for _ in range(max(1, size // len(block))):
                file.write(block)
        yield log
    finally:
        for left in pathlib.Path(world.folder).glob("usage*"):
            os.unlink(left)


def run(world, binaries, rounds, log_bytes):
    """Reports of nginx and of every binary."""
    reports = {"nginx": [], **{name: [] for name in binaries}}
    sizes = {name: binary_mb(path, world.folder) for name, path in binaries.items()}
    for _ in range(rounds):
        reports["nginx"].append(one(world.nginx))
        for name, path in binaries.items():
            reports[name].append({**one(lambda: world.proxy(path)), "binary_mb": sizes[name]})
    for name, path in binaries.items():
        for number in range(min(rounds, 3)):
            # A start may turn the log over, so each has its own.
            with usage_log(world, path, log_bytes) as log:
                server = world.proxy(path, usage=log)
                reports[name][number]["started_with_log_ms"] = server.started_ms
                server.stop()
    return reports
