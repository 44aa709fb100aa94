"""What suites of command-line agents share: cases, an empty home, and what the backend was sent.

A suite imports what it needs by name, declares `@case` functions and ends with `main()`.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

BASE_URL = os.environ["GODEX_BASE_URL"]
KEY = os.environ["GODEX_API_KEY"]
MOCK = os.environ["GODEX_MOCK_URL"]
PACKAGES = pathlib.Path(os.environ["GODEX_CLIENT_FOLDER"])
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CASES = []

# What a prompt does not hold cannot be an echo of it: the answer's first words are the simulated
# model's, and the arithmetic is the shell's.
TEXT = "Say grüß Gott 😀."
COMMAND = "echo proof-$((40+2))"
PROOF = "proof-42"
SHELL = f"Run the command and tell me what it printed. [[mock: shell {COMMAND}]]"


class Skip(Exception):
    """The case cannot run here, and why."""


def case(name):
    """Declares a case; its name is a sentence of the compatibility table."""
    def add(function):
        CASES.append((name, function))
        return function
    return add


def main():
    """Runs the declared cases, a line each."""
    for name, function in CASES:
        try:
            function()
            print(f"PASS {name}", flush=True)
        except Skip as reason:
            print(f"SKIP {name}: {reason}", flush=True)
        except Exception as error:  # Any failure of the client is a failed case.
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL {name}: {text[:900]}", flush=True)


def binary(name):
    """A command that the client's npm or Python packages brought."""
    for folder in ("node_modules/.bin", "venv/bin"):
        if (PACKAGES / folder / name).exists():
            return PACKAGES / folder / name
    raise AssertionError(f"the packages brought no `{name}`")


def mock(method, path):
    """Asks the simulated backend."""
    request = urllib.request.Request(f"{MOCK}{path}", method=method)
    with LOOPBACK.open(request, timeout=10) as answer:
        text = answer.read().decode()
    return json.loads(text) if text.strip() else None


def upstream():
    """Every request for an answer that the backend kept, oldest first."""
    return [it for it in mock("GET", "/__mock/requests")
            if it["method"] == "POST" and it["path"].endswith("/responses")]


@contextlib.contextmanager
def recorded():
    """Collects the requests that reach the backend inside the block."""
    before, found = len(upstream()), []
    yield found
    found += upstream()[before:]


class Home:
    """An empty home and a work folder; what the agent leaves running is ended with it."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="home-"))
        self.work = self.root / "work"
        self.work.mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.left_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for _ in range(50):
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                return
            time.sleep(0.1)

    def left_running(self):
        """Processes that still have this home: daemons that the agent started."""
        mark = f"HOME={self.root}".encode()
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)

    def write(self, path, text):
        """A file of the home; anything but a string is written as JSON."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text if isinstance(text, str) else json.dumps(text, indent=1), encoding="utf-8")
        return target

    def run(self, *command, stdin=None, seconds=90, **env):
        """What the command printed; standard error is kept for the reason of a failure."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        full = {**inherited, "HOME": str(self.root), "TMPDIR": str(self.root), "CI": "1", "TERM": "dumb",
                "DO_NOT_TRACK": "1", **env}
        with subprocess.Popen([str(it) for it in command], cwd=self.work, env=full, text=True,
                              stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                out, err = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                raise AssertionError(f"no answer after {seconds} s: {out[-400:]!r} {err[-400:]!r}") from None
        if process.returncode:
            raise AssertionError(f"ended with {process.returncode}: {out[-400:]!r} {err[-400:]!r}")
        return out


def quotes(answer, words):
    """The final answer holds these words."""
    assert words in answer, f"the final answer does not quote {words!r}: {answer[-400:]!r}"


def answers(answer):
    """The final answer is what the simulated model says to TEXT; the agent may have dated the prompt."""
    quotes(answer, "Mock answer to: ")
    quotes(answer.split("Mock answer to: ")[-1], TEXT)


def one_session(sent):
    """The cache key that all requests of a conversation share with their session id."""
    keys = {it["body"].get("prompt_cache_key") for it in sent}
    ids = {dict(it["headers"]).get("session-id") for it in sent}
    assert len(keys) == 1 and len(ids) == 1, f"one conversation has keys {keys} and sessions {ids}"
    return keys.pop()
