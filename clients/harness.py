"""What the Python suites share: cases, the words of a failure, and the simulated backend's view."""

import asyncio
import inspect
import json
import os
import urllib.request

BASE_URL = os.environ["GODEX_BASE_URL"]
KEY = os.environ["GODEX_API_KEY"]
MOCK = os.environ["GODEX_MOCK_URL"]
MODEL = "gpt-5.5"
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# Prompts that script the simulated model.
ARGUMENTS = [{"city": "São Tomé"}, {"city": "Oslo", "zone": "CET"}]
ONE_CALL = "Ask. [[mock: tool get_weather " + json.dumps(ARGUMENTS[0]) + "]]"
TWO_CALLS = ("Ask both. [[mock: tools get_weather " + json.dumps(ARGUMENTS[0]) + " get_time "
             + json.dumps(ARGUMENTS[1]) + "]]")
TWO_TURNS = ("Ask one by one. [[mock: tool get_weather " + json.dumps(ARGUMENTS[0]) + "]] [[mock: tool get_time "
             + json.dumps(ARGUMENTS[1]) + "]]")
RATE_LIMIT = "[[mock: status 429 rate-limit]]"
BROKEN = ("fail server_error", "error-event", "cut", "drop")

CASES = []


def case(name, **more):
    """Makes a function a case; of `over=[...]` one for each value."""
    def add(function):
        for value in more.get("over", [None]):
            title = name if value is None else f"{name} ({value})"
            CASES.append((title, function, () if value is None else (value,)))
        return function
    return add


def same(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"


def raises(kind, function, *arguments):
    try:
        answer = function(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"no {kind} but {answer!r}")


def quotes(text, *parts):
    """The answer quotes what the tools said."""
    missing = [part for part in parts if part not in (text or "")]
    assert not missing, f"no {missing} in {text!r}"


def mock(method, path):
    request = urllib.request.Request(f"{MOCK}{path}", method=method)
    with LOOPBACK.open(request, timeout=10) as answer:
        text = answer.read().decode()
    return json.loads(text) if text.strip() else None


def last_upstream_body():
    """What the proxy sent to the backend last."""
    posts = [it for it in mock("GET", "/__mock/requests") if it["path"].endswith("/responses")]
    return posts[-1]["body"]


def run():
    """Prints a line per case, in the form that `clients/run` counts."""
    for name, function, arguments in CASES:
        try:
            result = function(*arguments)
            if inspect.isawaitable(result):
                asyncio.run(result)
            print(f"PASS {name}", flush=True)
        except Exception as error:  # Any failure of the client is a failed case.
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL {name}: {text[:600]}", flush=True)
