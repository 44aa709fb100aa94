"""The processes of a run: the backend, nginx, proxies; each starts and ends with certainty."""

import base64
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time

BENCH = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
RIG = ROOT / "target/bench/release"
NGINX = "/usr/sbin/nginx"
KEY = "gxk_bench_0123456789abcdefghijklmnopqrstuvwxyz"
CORES = sorted(os.sched_getaffinity(0))
# The measured process has a core of its own; both ends of the load, and this script, share another.
MEASURED_CORE, LOAD_CORE = CORES[0], CORES[-1]
START_SECONDS = 60
POLL_SECONDS = 0.0002


class Failed(Exception):
    """A process did not do what the run needs."""


def build():
    """Builds the two ends of the load."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", BENCH / "rig/Cargo.toml",
               "--target-dir", RIG.parent]
    subprocess.run(command, check=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ready(port, path="/health"):
    """Whether a server answers 200; without a library, so that milliseconds can be measured."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode())
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def family(process):
    """A process and everything it started."""
    parents = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                parents[int(folder.name)] = int(stat.rsplit(") ", 1)[1].split()[1])
    found = [process]
    for parent in found:
        found += [child for child, it in parents.items() if it == parent]
    return found


def rss_kb(process):
    pages = 0
    for one in family(process):
        with contextlib.suppress(OSError):
            pages += int(pathlib.Path(f"/proc/{one}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@contextlib.contextmanager
def on_core(core):
    """What is started meanwhile runs on this core: a child has the affinity of whoever starts it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A running process: where it listens, and how long it took to answer."""

    def __init__(self, name, command, port, log, env, core, path="/health"):
        self.name, self.port = name, port
        with open(log, "w", encoding="utf-8") as output, on_core(core):
            begun = time.monotonic()
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        while not ready(port, path):
            if self.process.poll() is not None or time.monotonic() - begun > START_SECONDS:
                self.stop()
                words = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")[-2000:]
                raise Failed(f"{name} did not start: {words}")
            time.sleep(POLL_SECONDS)
        self.started_ms = (time.monotonic() - begun) * 1000

    def id(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                for one in reversed(family(self.process.pid)):
                    with contextlib.suppress(OSError):
                        os.kill(one, 9)
                self.process.wait(10)


def token(claims):
    parts = [json.dumps(it).encode() for it in ({"alg": "none"}, claims)]
    return ".".join([*[base64.urlsafe_b64encode(it).decode().rstrip("=") for it in parts], "signature"])


def write_login(folder):
    """A login that lasts: nothing in it is anybody's."""
    account = "11111111-2222-3333-4444-555555555555"
    made = token({"exp": 4102444800, "https://api.openai.com/auth": {"chatgpt_account_id": account, "chatgpt_plan_type": "plus"}})
    tokens = {"id_token": made, "access_token": made, "refresh_token": "rt", "account_id": account}
    login = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2099-01-01T00:00:00Z"}
    file = folder / "auth.json"
    file.write_text(json.dumps(login), encoding="utf-8")
    file.chmod(0o600)
    return file


class World:
    """The folder of a run, its backend, and the ways to start what is measured."""

    def __init__(self, folder):
        self.folder = folder
        self.login = write_login(folder)
        self.certificate = folder / "certificate.pem"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", "SSL_CERT_FILE": str(self.certificate)}
        self.tls_port = free_port()
        self.number = 0
        port = free_port()
        command = [RIG / "backend", "--listen", f"127.0.0.1:{port}", "--tls-listen",
                   f"127.0.0.1:{self.tls_port}", "--certificate", self.certificate]
        self.backend = Server("backend", command, port, folder / "backend.log", self.env, LOAD_CORE, "/v1/models")

    def fresh(self, name):
        """A folder of its own for each start, so that nothing is remembered from one to the next."""
        self.number += 1
        folder = self.folder / f"{self.number}-{name}"
        folder.mkdir()
        return folder

    def upstream(self, tls):
        return ("https", f"127.0.0.1:{self.tls_port}") if tls else ("http", f"127.0.0.1:{self.backend.port}")

    def nginx(self, tls=False):
        folder, port = self.fresh("nginx"), free_port()
        scheme, backend = self.upstream(tls)
        text = (BENCH / "nginx.conf").read_text(encoding="utf-8")
        for name, value in [("FOLDER", folder), ("BACKEND", backend), ("LISTEN", f"127.0.0.1:{port}"), ("SCHEME", scheme)]:
            text = text.replace(name, str(value))
        file = folder / "nginx.conf"
        file.write_text(text, encoding="utf-8")
        command = [NGINX, "-c", file, "-p", folder, "-e", folder / "nginx.log"]
        return Server("nginx", command, port, folder / "output.log", self.env, MEASURED_CORE)

    def proxy(self, binary, tls=False, usage=None, inside=()):
        """A proxy with a managed key that has a rate and a quota; `usage` is a usage log to begin with, `inside`
        a command that runs it."""
        folder, port = self.fresh("godex"), free_port()
        scheme, backend = self.upstream(tls)
        keys, log = folder / "keys.json", usage or folder / "usage.jsonl"
        add = [binary, "proxy", "keys", "add", "--label", "bench", "--key", KEY, "--rate", "600000000/m", "--burst", "10000000",
               "--quota-tokens", "1000000000000000", "--quota-window", "month", "--keys-path", keys, "--stats-path", log]
        subprocess.run(add, env=self.env, check=True, capture_output=True, timeout=60)
        command = [*inside, binary, "proxy", "--listen", f"127.0.0.1:{port}", "--base-url", f"{scheme}://{backend}/backend-api/codex",
                   "--auth-path", self.login, "--keys-path", keys, "--stats-path", log]
        return Server("godex", command, port, folder / "godex.log", self.env, MEASURED_CORE)

    def stop(self):
        self.backend.stop()
