"""Instructor, unmodified: typed answers in each of its modes for OpenAI, over both APIs."""

import json
import logging
from collections.abc import Iterable

import instructor
import openai
from headless import BASE_URL, KEY, main
from instructor import Mode
from instructor.core import InstructorRetryException
from library import BROKEN, MODEL, RATE_LIMIT, case, raises, same
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

# It logs every failure that a case provokes.
logging.disable(logging.ERROR)
MODES = {"PARALLEL_TOOLS": Mode.PARALLEL_TOOLS, "TOOLS": Mode.TOOLS, "TOOLS_STRICT": Mode.TOOLS_STRICT, "JSON": Mode.JSON,
         "JSON_SCHEMA": Mode.JSON_SCHEMA, "MD_JSON": Mode.MD_JSON, "RESPONSES_TOOLS": Mode.RESPONSES_TOOLS}


class Event(BaseModel):
    name: str
    day: int


# The modes that only speak JSON leave the form to the prompt, so the script answers in it.
PROMPTS = {mode: '[[mock: echo {"name": "mock", "day": 1}]]' if mode in ("JSON", "MD_JSON") else "A party."
           for mode in MODES}
SINGLE = [it for it in MODES if it != "PARALLEL_TOOLS"]
EXPECTED = {"name": "mock", "day": 1}


def connect(mode, key=KEY, base=OpenAI):
    client = base(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30)
    return instructor.from_openai(client, mode=MODES[mode])


def ask(mode, prompt, **more):
    return {"model": MODEL, "response_model": Event, "max_retries": 1,
            "messages": [{"role": "user", "content": prompt}], **more}


@case("a typed answer", over=SINGLE)
def _(mode):
    same(connect(mode).chat.completions.create(**ask(mode, PROMPTS[mode])).model_dump(), EXPECTED)


@case("a typed answer, async", over=SINGLE)
async def _(mode):
    answer = await connect(mode, base=AsyncOpenAI).chat.completions.create(**ask(mode, PROMPTS[mode]))
    same(answer.model_dump(), EXPECTED)


@case("a streamed partial answer", over=SINGLE)
def _(mode):
    parts = list(connect(mode).chat.completions.create_partial(**ask(mode, PROMPTS[mode])))
    same(parts[-1].model_dump(), EXPECTED)


@case("a streamed list of answers", over=["TOOLS", "JSON_SCHEMA", "RESPONSES_TOOLS"])
def _(mode):
    tasks = json.dumps({"tasks": [EXPECTED]})
    prompt = f"[[mock: echo {tasks}]]" if mode == "JSON_SCHEMA" else f"[[mock: tool IterableEvent {tasks}]]"
    parts = list(connect(mode).chat.completions.create_iterable(**ask(mode, prompt)))
    same([it.model_dump() for it in parts], [EXPECTED])


@case("several tools in one answer")
def _():
    prompt = '[[mock: tools Event {"name": "a", "day": 1} Event {"name": "b", "day": 2}]]'
    client = connect("PARALLEL_TOOLS")
    found = list(client.chat.completions.create(**ask("TOOLS", prompt, response_model=Iterable[Event])))
    same([it.name for it in found], ["a", "b"])


@case("an answer that does not fit is asked for again", over=["TOOLS", "RESPONSES_TOOLS"])
def _(mode):
    prompt = f'{mode} again. [[mock: once tool Event {{"name": "a"}}]]'
    same(connect(mode).chat.completions.create(**ask(mode, prompt, max_retries=3)).day, 1)


@case("a wrong key is told as such", over=["TOOLS", "RESPONSES_TOOLS"])
def _(mode):
    client = connect(mode, key="wrong-key")
    error = raises((InstructorRetryException, openai.AuthenticationError),
                   lambda: client.chat.completions.create(**ask(mode, "Hi")))
    assert "invalid_api_key" in str(error), error


@case("a rate limit is told as such", over=["TOOLS", "RESPONSES_TOOLS"])
def _(mode):
    error = raises((InstructorRetryException, openai.RateLimitError),
                   lambda: connect(mode).chat.completions.create(**ask(mode, RATE_LIMIT)))
    assert "429" in str(error), error


@case("a failure in mid-stream is an error", over=["TOOLS", "RESPONSES_TOOLS"])
def _(mode):
    for prompt in BROKEN:
        raises((InstructorRetryException, openai.APIError),
               lambda it=prompt: list(connect(mode).chat.completions.create_partial(**ask(mode, it))))


main()
