"""LiteLLM as a library, unmodified: `openai/...` over both APIs."""

import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402, reads its environment when it is imported
from headless import BASE_URL, KEY, main  # noqa: E402
from library import (ARGUMENTS, BROKEN, MODEL, ONE_CALL, RATE_LIMIT, TWO_CALLS, case, get_time, get_weather,  # noqa: E402
                     quotes_the_tools, raises, same)
from pydantic import BaseModel  # noqa: E402

litellm.telemetry = False
litellm.suppress_debug_info = True
WAY = {"api_base": BASE_URL, "api_key": KEY, "max_retries": 0, "timeout": 30}


class Event(BaseModel):
    name: str
    day: int
    guests: list[str]


def function(name, *fields):
    schema = {"type": "object", "properties": {it: {"type": "string"} for it in fields},
              "required": list(fields), "additionalProperties": False}
    return {"name": name, "description": f"The {name} tool.", "parameters": schema}


FLAT = [{"type": "function", **it} for it in (function("get_weather", "city"), function("get_time", "city", "zone"))]
NESTED = [{"type": "function", "function": {k: v for k, v in it.items() if k != "type"}} for it in FLAT]
TOOLS = {"get_weather": get_weather, "get_time": get_time}
EXPECTED = list(zip(TOOLS, ARGUMENTS))


def chat(content, **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return litellm.completion(model=f"openai/{MODEL}", messages=messages, **{**WAY, **more})


def responses(content, **more):
    return litellm.responses(model=f"openai/{MODEL}", input=content, **{**WAY, **more})


def text_of(answer):
    return "".join(part.text for it in answer.output if it.type == "message" for part in it.content)


@case("chat: text, with usage")
def _():
    answer = chat("[[mock: echo Grüß Gott 😀]]")
    same((answer.choices[0].message.content, answer.choices[0].finish_reason), ("Grüß Gott 😀", "stop"))
    assert answer.usage.total_tokens > 0


@case("chat: the async call")
async def _():
    answer = await litellm.acompletion(model=f"openai/{MODEL}", **WAY,
                                       messages=[{"role": "user", "content": "[[mock: echo fine]]"}])
    same(answer.choices[0].message.content, "fine")


@case("chat: streamed text, with usage")
def _():
    chunks = list(chat("[[mock: echo one two three]]", stream=True, stream_options={"include_usage": True}))
    same("".join(it.choices[0].delta.content or "" for it in chunks if it.choices), "one two three")
    assert any(getattr(it, "usage", None) for it in chunks)


@case("chat: two tools in parallel, streamed and whole, their outputs in the answer")
def _():
    whole = litellm.stream_chunk_builder(list(chat(TWO_CALLS, tools=NESTED, stream=True)))
    for answer in (whole, chat(TWO_CALLS, tools=NESTED)):
        message = answer.choices[0].message
        same(answer.choices[0].finish_reason, "tool_calls")
        calls = [(it.function.name, json.loads(it.function.arguments)) for it in message.tool_calls]
        same(calls, EXPECTED)
        history = [{"role": "user", "content": TWO_CALLS}, message]
        history += [{"role": "tool", "tool_call_id": it.id, "content": TOOLS[name](**given)}
                    for it, (name, given) in zip(message.tool_calls, calls)]
        quotes_the_tools(chat(history, tools=NESTED).choices[0].message.content)


@case("chat: structured output")
def _():
    Event.model_validate_json(chat("A party.", response_format=Event).choices[0].message.content)


@case("chat: reasoning effort, temperature and a limit of tokens")
def _():
    answer = chat("[[mock: echo fine]]", reasoning_effort="low", temperature=1, max_tokens=99)
    same(answer.choices[0].message.content, "fine")


@case("responses: text, with usage")
def _():
    answer = responses("[[mock: echo Grüß Gott 😀]]")
    same((text_of(answer), answer.status), ("Grüß Gott 😀", "completed"))
    assert answer.usage.total_tokens > 0


@case("responses: streamed text")
def _():
    events = list(responses("[[mock: echo one two three]]", stream=True))
    same("".join(it.delta for it in events if it.type == "response.output_text.delta"), "one two three")
    same(events[-1].type, "response.completed")


@case("responses: two tools in parallel, their outputs in the answer")
def _():
    answer = responses(TWO_CALLS, tools=FLAT)
    calls = [it for it in answer.output if it.type == "function_call"]
    same([(it.name, json.loads(it.arguments)) for it in calls], EXPECTED)
    outputs = [{"type": "function_call_output", "call_id": it.call_id, "output": TOOLS[it.name](**json.loads(it.arguments))}
               for it in calls]
    history = [{"role": "user", "content": TWO_CALLS}, *(it.model_dump(exclude_none=True) for it in answer.output)]
    quotes_the_tools(text_of(responses([*history, *outputs], tools=FLAT)))


@case("responses: a turn that continues by previous_response_id")
def _():
    first = responses(ONE_CALL, tools=FLAT)
    call = next(it for it in first.output if it.type == "function_call")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}
    final = text_of(responses([output], tools=FLAT, previous_response_id=first.id))
    assert "22 degrees" in final, final


@case("responses: structured output")
def _():
    Event.model_validate_json(text_of(responses("A party.", text_format=Event)))


@case("a completion over the Responses API (`openai/responses/...`)")
def _():
    answer = litellm.completion(model=f"openai/responses/{MODEL}", tools=NESTED, **WAY,
                                messages=[{"role": "user", "content": TWO_CALLS}])
    message = answer.choices[0].message
    same([(it.function.name, json.loads(it.function.arguments)) for it in message.tool_calls], EXPECTED)
    history = [{"role": "user", "content": TWO_CALLS}, message]
    history += [{"role": "tool", "tool_call_id": it.id, "content": TOOLS[name](**given)}
                for it, (name, given) in zip(message.tool_calls, EXPECTED)]
    final = litellm.completion(model=f"openai/responses/{MODEL}", tools=NESTED, messages=history, **WAY)
    quotes_the_tools(final.choices[0].message.content)


@case("a wrong key is an AuthenticationError on both APIs")
def _():
    for call in (chat, responses):
        raises(litellm.AuthenticationError, lambda it=call: it("Hi", api_key="wrong-key"))


@case("a rate limit is a RateLimitError on both APIs")
def _():
    for call in (chat, responses):
        raises(litellm.RateLimitError, lambda it=call: it(RATE_LIMIT))


@case("an unknown model is a NotFoundError")
def _():
    raises(litellm.NotFoundError, lambda: litellm.completion(
        model="openai/no-such-model", messages=[{"role": "user", "content": "Hi"}], **WAY))


@case("a failure in mid-stream is an error on both APIs")
def _():
    for call in (chat, responses):
        for prompt in BROKEN:
            raises(Exception, lambda it=call, words=prompt: list(it(words, stream=True)))


main()
