"""What suites of libraries share: the prompts that script the model, and words for what is expected.

A suite imports what it needs by name, declares `@case` functions, plain or `async`, and ends with
`main()` of `headless`.
"""

import asyncio
import functools
import inspect
import json

import headless

MODEL = "gpt-5.5"

ARGUMENTS = [{"city": "São Tomé"}, {"city": "Oslo", "zone": "CET"}]
WEATHER, TIME = (f"{name} {json.dumps(it)}" for name, it in zip(("get_weather", "get_time"), ARGUMENTS))
ONE_CALL = f"Ask. [[mock: tool {WEATHER}]]"
TWO_CALLS = f"Ask both. [[mock: tools {WEATHER} {TIME}]]"
TWO_TURNS = f"Ask one by one. [[mock: tool {WEATHER}]] [[mock: tool {TIME}]]"
RATE_LIMIT = "[[mock: status 429 rate-limit]]"
# Ways in which a stream breaks after its first text.
BROKEN = [f"[[mock: {it}]]" for it in ("fail server_error", "error-event", "cut", "drop")]


def case(name, over=(None,)):
    """Declares a case, or one for each value of `over`, which the function is given."""
    def add(function):
        for value in over:
            given = () if value is None else (value,)
            title = name if value is None else f"{value}: {name}"
            headless.case(title)(functools.partial(settle, function, *given))
        return function
    return add


# One loop for all cases: the libraries keep connections of a case for the next one.
LOOP = asyncio.Runner()


def settle(function, *given):
    result = function(*given)
    if inspect.isawaitable(result):
        LOOP.run(result)


def get_weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"22 degrees in {city}"


def get_time(city: str, zone: str) -> str:
    """Tells the time in a city."""
    return f"noon in {city}, {zone}"


def quotes_the_tools(text):
    """The answer holds what both tools said of the scripted arguments."""
    missing = [it for it in (get_weather(**ARGUMENTS[0]), get_time(**ARGUMENTS[1])) if it not in (text or "")]
    assert not missing, f"no {missing} in {text!r}"


def same(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"


def raises(kind, function):
    try:
        answer = function()
    except kind as error:
        return error
    raise AssertionError(f"no {kind} but {answer!r}")


async def raises_in(kind, awaitable):
    try:
        answer = await awaitable
    except kind as error:
        return error
    raise AssertionError(f"no {kind} but {answer!r}")
