"""The servers that clients talk to: `godex mock`, proxies in front of it, and what the mock saw."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

KEY = "local-dev-key"
START_SECONDS = 20
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def environment(home, **more):
    """A bare environment: no proxy variable, no key and no setting of the user's leaks in."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**keep, "HOME": str(home), "TMPDIR": str(home), "NO_COLOR": "1", **more}


class Server:
    """A godex process: its output is kept, its address is waited for, its end is certain."""

    def __init__(self, name, command, env, log):
        self.name, self.lines = name, []
        self.log = open(log, "w", encoding="utf-8")
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self.log.write(line)
            self.log.flush()

    def text(self):
        return "\n".join(self.lines)

    def wait_until(self, ready):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                found = ready()
                if found:
                    return found
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not start:\n{self.text()[-3000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.reader.join(5)
        self.log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, method="GET", headers=None):
    request = urllib.request.Request(url, method=method, headers=headers or {})
    with LOOPBACK.open(request, timeout=10) as answer:
        return answer.read().decode()


def healthy(port):
    try:
        return bool(fetch(f"http://127.0.0.1:{port}/health"))
    except urllib.error.HTTPError:
        return True


def start_mock(binary, folder):
    port = free_port()
    auth = folder / "auth.json"
    command = [binary, "mock", "--listen", f"127.0.0.1:{port}", "--write-auth", str(auth)]
    server = Server("godex mock", command, environment(folder), folder / "mock.log")
    url = f"http://127.0.0.1:{port}"
    try:
        server.wait_until(lambda: auth.exists() and fetch(f"{url}/__mock/state"))
    except RuntimeError:
        server.stop()
        raise
    return server, url, auth


def start_proxy(binary, folder, name, mock, auth, *flags):
    port = free_port()
    command = [binary, "proxy", "--listen", f"127.0.0.1:{port}", "--auth-path", str(auth),
               "--base-url", f"{mock}/backend-api/codex", "--allow-refresh", "--log-requests",
               "--rate", "100000/m", "--burst", "10000",
               "--keys-path", str(folder / f"{name}-keys.json"),
               "--stats-path", str(folder / f"{name}-usage.jsonl"), *flags]
    env = environment(folder, CODEX_REFRESH_TOKEN_URL_OVERRIDE=f"{mock}/oauth/token")
    server = Server(f"godex proxy ({name})", command, env, folder / f"{name}.log")
    try:
        server.wait_until(lambda: healthy(port))
    except RuntimeError:
        server.stop()
        raise
    return server, f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def stage(binary, folder):
    """A simulated backend and the proxies in front of it; yields what suites learn of them."""
    with contextlib.ExitStack() as stack:
        mock, mock_url, auth = start_mock(binary, folder)
        stack.callback(mock.stop)
        urls = {"GODEX_MOCK_URL": mock_url, "GODEX_API_KEY": KEY, "GODEX_KEYS_PATH": str(folder / "proxy-keys.json")}
        for name, variable, flags in [("proxy", "GODEX_BASE_URL", ["--api-key", KEY]),
                                      ("anyone", "GODEX_ANY_KEY_URL", ["--allow-any-key"]),
                                      ("spent", "GODEX_SPENT_URL", ["--api-key", KEY])]:
            server, urls[variable] = start_proxy(binary, folder, name, mock_url, auth, *flags)
            stack.callback(server.stop)
        yield urls


def check_embedded_mock(report, binary, folder):
    """`godex proxy --mock` needs nothing: the command it prints answers when it is pasted."""
    port = free_port()
    home = folder / "embedded"
    home.mkdir()
    command = [binary, "proxy", "--mock", "--listen", f"127.0.0.1:{port}"]
    server = Server("godex proxy --mock", command, environment(home), folder / "embedded.log")
    case = "the curl that `godex proxy --mock` prints answers"
    try:
        server.wait_until(lambda: healthy(port))
        pasted = server.wait_until(lambda: re.search(r"^ *(curl (?:.*\\\n)*.*)(?<!\\)$", server.text(), re.M))
        done = subprocess.run(["bash", "-c", pasted.group(1)], env=environment(home), timeout=30,
                              capture_output=True, text=True, check=False)
        answer = json.loads(done.stdout or "null") or {}
        good = answer.get("status") == "completed" and answer.get("output")
        report.take("godex", f"PASS {case}" if good else
                    f"FAIL {case}: {(done.stdout + done.stderr)[-300:]!r}")
    except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        report.take("godex", f"FAIL {case}: {error}")
    finally:
        server.stop()
    left = [str(path.relative_to(home)) for path in home.rglob("*")]
    case = "`godex proxy --mock` leaves nothing behind"
    report.take("godex", f"FAIL {case}: {left}" if left else f"PASS {case}")


INTERFACES = {"/v1/responses": "responses", "/v1/chat/completions": "chat"}


def interfaces(folder):
    """The interfaces that the proxies of a client were asked over, by their logs."""
    paths = re.findall(r'"path":"([^"]+)"', "".join(log.read_text(encoding="utf-8") for log in folder.glob("*.log")))
    return sorted({INTERFACES[path] for path in paths if path in INTERFACES})


def witness(report, client, mock, expected, used):
    """What the strict backend held against the requests of one suite, and the interfaces that it used."""
    case = "it used the interfaces that the table names"
    report.take(client, f"PASS {case}" if used == sorted(expected) else f"FAIL {case}: it used {used}")
    kept = json.loads(fetch(f"{mock}/__mock/requests"))
    # A stale token is what the suites order; every other refusal is a request gone wrong.
    refused = [f"{it['method']} {it['path']}: {it['refusal']}" for it in kept
               if it["verdict"] == "refused" and "token_expired" not in str(it["refusal"])]
    advice = sorted({text for it in kept for text in it["advice"]})
    bodies = [it for it in kept if it["method"] == "POST" and it["path"].endswith("/responses")]
    for case, found in [("the backend refused none of its requests for their form",
                         refused if bodies else ["it saw no request"]),
                        ("the backend had no advice on its requests", advice)]:
        report.take(client, f"FAIL {case}: {len(found)}, like {found[:3]}" if found else f"PASS {case}")
