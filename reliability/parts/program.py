"""The program under test, in an empty home, and what the system knows of its process."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from . import backend

KEY = "soak-key-0123456789"


class Program:
    """A running proxy in a home of its own, which goes away with it."""

    def __init__(self, binary, base_url, token_url, arguments=(), home=None, prefix=()):
        self.home = pathlib.Path(home or tempfile.mkdtemp(prefix="godex-"))
        self.folder = self.home / ".codex"
        self.folder.mkdir(exist_ok=True)
        self.login = self.folder / "auth.json"
        self.log = self.folder / "proxy-usage.jsonl"
        if not self.login.exists():
            self.login.write_text(json.dumps(backend.login(), indent=2))
            self.login.chmod(0o600)
        environment = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "GODEX_PROXY_API_KEY": KEY,
            "GODEX_PROXY_RATE": "1000000/s", "GODEX_PROXY_BURST": "1000000",
            "CODEX_REFRESH_TOKEN_URL_OVERRIDE": token_url,
        }
        serve = [str(binary), "proxy", "--listen=127.0.0.1:0", "--base-url", base_url, *arguments]
        self.said = self.home / "said"
        with self.said.open("ab") as said:
            self.start = said.tell()
            self.process = subprocess.Popen(
                [*prefix, *serve], env=environment, cwd=self.home, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=said,
            )
        self.address = None

    def listens(self, seconds=20):
        """Waits until it listens; false if it ended before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            told = re.search(rb"listening   http://([0-9.:]+)", self.said.read_bytes()[self.start:])
            if told:
                self.address = told.group(1).decode()
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        raise TimeoutError("it does not listen")

    def figures(self):
        """Open files, threads, and memory in KiB."""
        place = pathlib.Path("/proc") / str(self.process.pid)
        status = (place / "status").read_text()
        number = lambda name: int(re.search(rf"{name}:\s+(\d+)", status).group(1))
        return {"fds": len(list((place / "fd").iterdir())), "threads": number("Threads"), "rss": number("VmRSS"), "peak": number("VmHWM")}

    def records(self):
        """Every line of the usage log, none of which may be torn."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self, seconds=40):
        """Asks it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
