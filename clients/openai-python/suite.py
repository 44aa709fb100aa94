"""openai-python, unmodified: both APIs, streaming and not, tools, parsing, errors, a stale login."""

import base64
import concurrent.futures
import json
import os
import sys
import time

import openai
from openai import OpenAI
from pydantic import BaseModel

from connected import GODEX, Example
from headless import BASE_URL, KEY, case, main, mock
from library import MODEL, raises, same

ANY_KEY_URL = os.environ["GODEX_ANY_KEY_URL"]
SPENT_URL = os.environ["GODEX_SPENT_URL"]


def connect(key=KEY, base_url=BASE_URL, retries=0):
    return OpenAI(base_url=base_url, api_key=key, max_retries=retries, timeout=30)


client = connect()


def last_upstream_body():
    """What the proxy sent to the backend last."""
    posts = [it for it in mock("GET", "/__mock/requests") if it["path"].endswith("/responses")]
    return posts[-1]["body"]


class Event(BaseModel):
    name: str
    day: int
    guests: list[str]


def function(name, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties),
              "additionalProperties": False}
    return {"type": "function", "name": name, "description": f"The {name} tool.", "parameters": schema,
            "strict": True}


WEATHER = function("get_weather", city={"type": "string"})
TIME = function("get_time", city={"type": "string"}, zone={"type": "string"})
TOOLS = [WEATHER, TIME]
CHAT_TOOLS = [{"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
              for tool in TOOLS]
ARGUMENTS = [{"city": "São Tomé"}, {"city": "Oslo", "zone": "CET"}]
TWO_CALLS = ("Ask both. [[mock: tools get_weather " + json.dumps(ARGUMENTS[0]) + " get_time "
             + json.dumps(ARGUMENTS[1]) + "]]")
ONE_CALL = "Ask. [[mock: tool get_weather " + json.dumps(ARGUMENTS[0]) + "]]"
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()


# Responses


@case("responses.create with a string")
def _():
    answer = client.responses.create(model=MODEL, input="[[mock: echo Grüß Gott 😀]]")
    same(answer.output_text, "Grüß Gott 😀")
    same((answer.status, answer.model, answer.object), ("completed", MODEL, "response"))
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    same(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens)
    assert answer.usage.input_tokens_details.cached_tokens >= 0
    assert answer.usage.output_tokens_details.reasoning_tokens >= 0


@case("responses.create with a list, instructions, every role and an image")
def _():
    answer = client.responses.create(model=MODEL, instructions="Be brief.", input=[
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "input_text", "text": "Look. [[mock: echo seen]]"},
                                     {"type": "input_image", "image_url": PNG, "detail": "auto"}]}])
    same(answer.output_text, "seen")


@case("responses.stream: final response has the text")
def _():
    with client.responses.stream(model=MODEL, input="[[mock: echo one two three]]") as stream:
        deltas = [it.delta for it in stream if it.type == "response.output_text.delta"]
        final = stream.get_final_response()
    same("".join(deltas), "one two three")
    same(final.output_text, "one two three")
    assert final.usage.total_tokens > 0


@case("responses.create(stream=True): the full life of a text, numbered without a gap")
def _():
    events = list(client.responses.create(model=MODEL, input="[[mock: echo one two]]", stream=True))
    types = [it.type for it in events if not it.type.startswith("response.reasoning")]
    frame = ["response.created", "response.in_progress", "response.output_item.added",
             "response.content_part.added", "response.output_text.delta", "response.output_text.done",
             "response.content_part.done", "response.output_item.done", "response.completed"]
    for kind in frame:
        assert kind in types, f"no {kind} in {types}"
    same(types[-1], "response.completed")
    strange = [it for it in types if it not in frame]
    same(strange, [])
    numbers = [it.sequence_number for it in events]
    same(numbers, list(range(len(numbers))))
    same([it.type for it in events[-1].response.output if it.type == "message"], ["message"])


@case("responses.parse with pydantic")
def _():
    answer = client.responses.parse(model=MODEL, input="A party.", text_format=Event)
    assert isinstance(answer.output_parsed, Event), answer.output


@case("responses: two parallel calls and their round trip")
def _():
    answer = client.responses.create(model=MODEL, input=TWO_CALLS, tools=TOOLS)
    calls = [it for it in answer.output if it.type == "function_call"]
    same([(it.name, json.loads(it.arguments)) for it in calls],
         [("get_weather", ARGUMENTS[0]), ("get_time", ARGUMENTS[1])])
    same(len({it.call_id for it in calls}), 2)
    history = [{"role": "user", "content": TWO_CALLS}, *answer.output]
    history += [{"type": "function_call_output", "call_id": it.call_id, "output": f"result {n}"}
                for n, it in enumerate(calls)]
    final = client.responses.create(model=MODEL, input=history, tools=TOOLS)
    assert "result 0" in final.output_text and "result 1" in final.output_text, final.output_text


@case("responses.stream: two parallel calls")
def _():
    with client.responses.stream(model=MODEL, input=TWO_CALLS, tools=TOOLS) as stream:
        done = [it for it in stream if it.type == "response.function_call_arguments.done"]
        final = stream.get_final_response()
    same(sorted(it.name for it in done), ["get_time", "get_weather"])
    calls = [it for it in final.output if it.type == "function_call"]
    same([(it.name, json.loads(it.arguments)) for it in calls],
         [("get_weather", ARGUMENTS[0]), ("get_time", ARGUMENTS[1])])


@case("responses: a follow-up with only function_call_output")
def _():
    calls = [it for it in client.responses.create(model=MODEL, input=TWO_CALLS, tools=TOOLS).output
             if it.type == "function_call"]
    outputs = [{"type": "function_call_output", "call_id": it.call_id, "output": f"only {it.name}"}
               for it in calls]
    final = client.responses.create(model=MODEL, input=outputs, tools=TOOLS)
    assert "only get_weather" in final.output_text and "only get_time" in final.output_text, final.output_text
    sent = [it.get("type") for it in last_upstream_body()["input"]]
    same(sorted(it for it in sent if it and it.startswith("function_call")),
         ["function_call"] * 2 + ["function_call_output"] * 2)


@case("responses: previous_response_id brings the conversation back")
def _():
    first = client.responses.create(model=MODEL, input=ONE_CALL, tools=TOOLS)
    call = next(it for it in first.output if it.type == "function_call")
    final = client.responses.create(model=MODEL, tools=TOOLS, previous_response_id=first.id, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}])
    assert "22 degrees" in final.output_text, final.output_text
    same(final.previous_response_id, first.id)


@case("responses: another key's call stays another key's")
def _():
    ann, bob = (connect(key, ANY_KEY_URL) for key in ("key-of-ann", "key-of-bob"))
    first = ann.responses.create(model=MODEL, input=ONE_CALL, tools=TOOLS, user="same-user")
    call = next(it for it in first.output if it.type == "function_call")
    output = [{"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}]
    bob.responses.create(model=MODEL, input=output, tools=TOOLS, user="same-user")
    sent = json.dumps(last_upstream_body()["input"], ensure_ascii=False)
    assert "function_call" not in sent and "São Tomé" not in sent, sent
    ann.responses.create(model=MODEL, input=output, tools=TOOLS, user="same-user")
    assert '"function_call"' in json.dumps(last_upstream_body()["input"])


@case("responses: three turns chained by previous_response_id, and a branch of the first")
def _():
    first = client.responses.create(model=MODEL, input="Remember quince. " + ONE_CALL, tools=TOOLS)
    call = next(it for it in first.output if it.type == "function_call")
    second = client.responses.create(model=MODEL, tools=TOOLS, previous_response_id=first.id, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}])
    assert "22 degrees" in second.output_text, second.output_text
    with client.responses.stream(model=MODEL, tools=TOOLS, previous_response_id=second.id,
                                 input="[[mock: echo third]]") as stream:
        third = stream.get_final_response()
    same((third.output_text, third.previous_response_id), ("third", second.id))
    sent = json.dumps(last_upstream_body()["input"], ensure_ascii=False)
    for part in ("quince", call.call_id, "22 degrees", second.output_text, "third"):
        assert part in sent, f"no {part!r} in {sent}"
    client.responses.create(model=MODEL, tools=TOOLS, previous_response_id=first.id, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "23 degrees"}])
    sent = json.dumps(last_upstream_body()["input"], ensure_ascii=False)
    assert "quince" in sent and "23 degrees" in sent and "22 degrees" not in sent, sent


@case("responses: items of earlier answers come back by reference")
def _():
    first = client.responses.create(model=MODEL, input=ONE_CALL, tools=TOOLS)
    call = next(it for it in first.output if it.type == "function_call")
    final = client.responses.create(model=MODEL, tools=TOOLS, input=[
        {"role": "user", "content": ONE_CALL}, {"type": "item_reference", "id": call.id},
        {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}])
    assert "22 degrees" in final.output_text, final.output_text
    same([it.get("type") for it in last_upstream_body()["input"]],
         ["message", "function_call", "function_call_output"])


@case("responses: another key resolves neither the response nor its items")
def _():
    ann, bob = (connect(key, ANY_KEY_URL) for key in ("key-of-ann", "key-of-bob"))
    first = ann.responses.create(model=MODEL, input=ONE_CALL, tools=TOOLS)
    same(ann.responses.create(model=MODEL, input="[[mock: echo mine]]", previous_response_id=first.id).output_text, "mine")
    error = raises(openai.BadRequestError, lambda: bob.responses.create(
        model=MODEL, input="Hi", previous_response_id=first.id))
    same((error.code, error.param), ("previous_response_not_found", "previous_response_id"))
    call = next(it for it in first.output if it.type == "function_call")
    error = raises(openai.BadRequestError, lambda: bob.responses.create(model=MODEL, input=[
        {"role": "user", "content": "Hi"}, {"type": "item_reference", "id": call.id}]))
    assert f"Item with id '{call.id}' not found" in str(error), error


@case("responses: a custom tool's free text")
def _():
    tool = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
    answer = client.responses.create(model=MODEL, tools=[tool], input='[[mock: custom apply_patch a "b" \\ c]]')
    call = next(it for it in answer.output if it.type == "custom_tool_call")
    same((call.name, call.input), ("apply_patch", 'a "b" \\ c'))


@case("responses: a refusal, an empty answer and an incomplete one arrive as such")
def _():
    refused = client.responses.create(model=MODEL, input="[[mock: refusal No.]]")
    parts = [part for it in refused.output if it.type == "message" for part in it.content]
    same([(it.type, it.refusal) for it in parts], [("refusal", "No.")])
    empty = client.responses.create(model=MODEL, input="[[mock: empty]]")
    same((empty.status, empty.output_text), ("completed", ""))
    short = client.responses.create(model=MODEL, input="[[mock: incomplete max_output_tokens]]")
    same((short.status, short.incomplete_details.reason), ("incomplete", "max_output_tokens"))


# Every parameter that the backend refuses


# The values a client might send; `stop` has its own case.
REFUSED = {
    "temperature": 0, "top_p": 0.9, "metadata": {"run": "7"}, "user": "user-7",
    "safety_identifier": "si-7", "prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "auto"},
    "max_tokens": 99, "max_completion_tokens": 99, "presence_penalty": 0.1, "frequency_penalty": 0.1,
    "seed": 7, "n": 1, "logit_bias": {"50256": -100}, "top_logprobs": 2,
    "max_tool_calls": 4, "context_management": [{"type": "compaction"}],
}
REFUSED_BY_RESPONSES = {**REFUSED, "max_output_tokens": 99, "truncation": "auto", "background": False}


def dropped(answer):
    return {it.strip() for it in answer.headers.get("x-godex-dropped", "").split(",") if it.strip()}


@case("responses: every refused parameter is dropped and named")
def _():
    raw = client.responses.with_raw_response.create(
        model=MODEL, input="[[mock: echo fine]]", store=True, service_tier="auto",
        extra_body=REFUSED_BY_RESPONSES)
    same(raw.parse().output_text, "fine")
    same(sorted(set(REFUSED_BY_RESPONSES) - dropped(raw)), [])
    same(sorted(set(REFUSED_BY_RESPONSES) & set(last_upstream_body())), [])


@case("chat: every refused parameter is dropped and named")
def _():
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "[[mock: echo fine]]"}], store=True,
        service_tier="auto", extra_body={**REFUSED, "logprobs": True, "modalities": ["text"]})
    same(raw.parse().choices[0].message.content, "fine")
    same(sorted(set(REFUSED) - dropped(raw)), [])
    same(sorted(set(REFUSED) & set(last_upstream_body())), [])


@case("chat: each refused parameter alone is accepted")
def _():
    for name, value in REFUSED.items():
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "[[mock: echo fine]]"}], extra_body={name: value})
        same((name, answer.choices[0].message.content), (name, "fine"))


@case("responses: each refused parameter alone is accepted")
def _():
    for name, value in REFUSED_BY_RESPONSES.items():
        answer = client.responses.create(model=MODEL, input="[[mock: echo fine]]", extra_body={name: value})
        same((name, answer.output_text), (name, "fine"))


@case("chat: stop cuts the text or is named as dropped")
def _():
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "[[mock: echo one END two]]"}], stop=["END"])
    choice = raw.parse().choices[0]
    cut = choice.message.content == "one " and choice.finish_reason == "stop"
    assert cut or "stop" in dropped(raw), (choice, dropped(raw))


@case("chat: n > 1 is refused with its name")
def _():
    error = raises(openai.BadRequestError, lambda: client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hi"}], n=2))
    same(error.param, "n")


# Chat Completions


def chat(content, **more):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}], **more)


@case("chat.completions.create")
def _():
    answer = client.chat.completions.create(model=MODEL, messages=[
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "[[mock: echo Grüß Gott 😀]]"}])
    choice = answer.choices[0]
    same((choice.message.content, choice.message.role, choice.finish_reason, choice.message.refusal),
         ("Grüß Gott 😀", "assistant", "stop", None))
    same((answer.object, answer.model), ("chat.completion", MODEL))
    same(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0
    assert answer.usage.completion_tokens_details.reasoning_tokens >= 0


@case("chat stream: role first, one finish_reason, no usage unasked")
def _():
    chunks = list(chat("[[mock: echo one two three]]", stream=True))
    same("".join(it.choices[0].delta.content or "" for it in chunks), "one two three")
    same(chunks[0].choices[0].delta.role, "assistant")
    same([it.choices[0].finish_reason for it in chunks if it.choices[0].finish_reason], ["stop"])
    same(len({(it.id, it.created, it.model) for it in chunks}), 1)
    same([it for it in chunks if it.usage], [])


@case("chat stream: include_usage adds one last chunk")
def _():
    chunks = list(chat("[[mock: echo one]]", stream=True, stream_options={"include_usage": True}))
    same(chunks[-1].choices, [])
    assert chunks[-1].usage.total_tokens > 0
    same([it for it in chunks[:-1] if it.usage or not it.choices], [])


@case("chat.completions.parse with pydantic")
def _():
    answer = client.chat.completions.parse(model=MODEL, response_format=Event,
                                           messages=[{"role": "user", "content": "A party."}])
    assert isinstance(answer.choices[0].message.parsed, Event), answer.choices[0]


@case("chat.completions.stream: the final completion, parsed")
def _():
    with client.chat.completions.stream(model=MODEL, response_format=Event,
                                        messages=[{"role": "user", "content": "A party."}]) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Event), final.choices[0]


@case("chat: json_object")
def _():
    answer = chat("Answer in json. [[mock: echo {\"a\":1}]]", response_format={"type": "json_object"})
    same(json.loads(answer.choices[0].message.content), {"a": 1})


@case("chat: images and files as parts")
def _():
    answer = chat([{"type": "text", "text": "Look. [[mock: echo seen]]"},
                   {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                   {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}])
    same(answer.choices[0].message.content, "seen")
    parts = [part["type"] for part in last_upstream_body()["input"][-1]["content"]]
    same(parts, ["input_text", "input_image", "input_file"])


@case("chat: two parallel calls and their round trip")
def _():
    message = chat(TWO_CALLS, tools=CHAT_TOOLS).choices[0]
    same(message.finish_reason, "tool_calls")
    calls = message.message.tool_calls
    same([(it.function.name, json.loads(it.function.arguments)) for it in calls],
         [("get_weather", ARGUMENTS[0]), ("get_time", ARGUMENTS[1])])
    history = [{"role": "user", "content": TWO_CALLS}, message.message]
    history += [{"role": "tool", "tool_call_id": it.id, "content": f"result {n}"} for n, it in enumerate(calls)]
    final = client.chat.completions.create(model=MODEL, messages=history, tools=CHAT_TOOLS)
    text = final.choices[0].message.content
    assert "result 0" in text and "result 1" in text, text


@case("chat stream: two parallel calls at index 0 and 1")
def _():
    calls, finished = {}, []
    for chunk in chat(TWO_CALLS, tools=CHAT_TOOLS, stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
            call["arguments"] += part.function.arguments or ""
        finished += [chunk.choices[0].finish_reason] if chunk.choices[0].finish_reason else []
    same(finished, ["tool_calls"])
    same(sorted(calls), [0, 1])
    same([(it["name"], json.loads(it["arguments"])) for _, it in sorted(calls.items())],
         [("get_weather", ARGUMENTS[0]), ("get_time", ARGUMENTS[1])])
    assert all(it["id"] for it in calls.values())


@case("chat.completions.stream: two parallel calls, each parsed when it is done")
def _():
    with client.chat.completions.stream(model=MODEL, tools=CHAT_TOOLS,
                                        messages=[{"role": "user", "content": TWO_CALLS}]) as stream:
        done = [it for it in stream if it.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    same([(it.name, json.loads(it.arguments)) for it in done],
         [("get_weather", ARGUMENTS[0]), ("get_time", ARGUMENTS[1])])
    same([it.function.parsed_arguments for it in final.choices[0].message.tool_calls], ARGUMENTS)


@case("chat: a custom tool's free text, whole and streamed, and its round trip")
def _():
    tool = {"type": "custom", "custom": {"name": "apply_patch", "description": "Edits files."}}
    prompt = '[[mock: custom apply_patch a "b" \\ c]]'
    message = chat(prompt, tools=[tool]).choices[0].message
    call = message.tool_calls[0]
    same((call.type, call.custom.name, call.custom.input), ("custom", "apply_patch", 'a "b" \\ c'))
    history = [{"role": "user", "content": prompt}, message,
               {"role": "tool", "tool_call_id": call.id, "content": "patched"}]
    final = client.chat.completions.create(model=MODEL, messages=history, tools=[tool])
    assert "patched" in final.choices[0].message.content, final
    # The form of OpenAI's stream. The helper `stream()` reads it, but its `get_final_completion`
    # has no type for such a call and raises.
    parts = [part.to_dict() for it in chat(prompt, tools=[tool], stream=True)
             for part in it.choices[0].delta.tool_calls or []]
    same((parts[0]["type"], parts[0]["custom"]["name"]), ("custom", "apply_patch"))
    same("".join(it["custom"]["input"] for it in parts), 'a "b" \\ c')
    with client.chat.completions.stream(model=MODEL, tools=[tool], messages=history[:1]) as stream:
        finished = [it.chunk.choices[0].finish_reason for it in stream if it.type == "chunk"]
    same([it for it in finished if it], ["tool_calls"])


@case("chat: a follow-up with only the tool messages")
def _():
    calls = chat(TWO_CALLS, tools=CHAT_TOOLS).choices[0].message.tool_calls
    outputs = [{"role": "tool", "tool_call_id": it.id, "content": f"only {it.function.name}"} for it in calls]
    final = client.chat.completions.create(model=MODEL, messages=outputs, tools=CHAT_TOOLS)
    text = final.choices[0].message.content
    assert "only get_weather" in text and "only get_time" in text, text


@case("chat: tool_choice names a function")
def _():
    answer = chat("Do it.", tools=CHAT_TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}})
    same([it.function.name for it in answer.choices[0].message.tool_calls], ["get_time"])


@case("chat: the legacy functions")
def _():
    answer = chat(ONE_CALL, functions=[tool["function"] for tool in CHAT_TOOLS], function_call="auto")
    message = answer.choices[0].message
    name = message.function_call.name if message.function_call else message.tool_calls[0].function.name
    same(name, "get_weather")


@case("chat: a refusal and a cut-short answer")
def _():
    refused = chat("[[mock: refusal No.]]").choices[0]
    same((refused.message.refusal, refused.message.content), ("No.", None))
    same(chat("[[mock: incomplete max_output_tokens]]").choices[0].finish_reason, "length")
    same(chat("[[mock: incomplete content_filter]]").choices[0].finish_reason, "content_filter")


# Errors


@case("a wrong key is an AuthenticationError on every endpoint")
def _():
    stranger = connect("wrong-key")
    for call in (lambda: stranger.responses.create(model=MODEL, input="Hi"), stranger.models.list,
                 lambda: stranger.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])):
        error = raises(openai.AuthenticationError, call)
        same((error.code, error.type), ("invalid_api_key", "invalid_request_error"))
        assert "wrong-key" not in str(error)


@case("a refused key leaves the connection usable, whatever of the body was still under way")
def _():
    stranger = connect("wrong-key")
    for _ in range(30):
        raises(openai.AuthenticationError, lambda: stranger.responses.create(model=MODEL, input="x" * 200_000))
        raises(openai.AuthenticationError, stranger.models.list)


@case("an unknown model is a NotFoundError on both APIs")
def _():
    for call in (lambda: client.responses.create(model="no-such-model", input="Hi"),
                 lambda: client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hi"}]),
                 lambda: client.models.retrieve("no-such-model")):
        same(raises(openai.NotFoundError, call).code, "model_not_found")


@case("a missing input and an empty messages list are BadRequestErrors with their param")
def _():
    error = raises(openai.BadRequestError, lambda: client.responses.create(model=MODEL))
    same(error.param, "input")
    error = raises(openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=[]))
    same(error.param, "messages")


@case("a failure in mid-stream is an APIError on both APIs")
def _():
    for marker in ("fail server_error", "error-event", "cut", "drop", "reset"):
        prompt = f"[[mock: {marker}]]"
        raises(openai.APIError, lambda p=prompt: list(client.responses.create(model=MODEL, input=p, stream=True)))
        raises(openai.APIError, lambda p=prompt: list(chat(p, stream=True)))


@case("a failure in mid-stream is an APIError without streaming too")
def _():
    for marker in ("fail server_error", "cut"):
        prompt = f"[[mock: {marker}]]"
        raises(openai.APIError, lambda p=prompt: client.responses.create(model=MODEL, input=p))
        raises(openai.APIError, lambda p=prompt: chat(p))


@case("overload inside a 200 is a retryable status, streaming or not")
def _():
    prompt = "[[mock: fail-first server_is_overloaded]]"
    kinds = (openai.InternalServerError, openai.RateLimitError)
    for call in (lambda: client.responses.create(model=MODEL, input=prompt),
                 lambda: list(client.responses.create(model=MODEL, input=prompt, stream=True)),
                 lambda: chat(prompt), lambda: list(chat(prompt, stream=True))):
        raises(kinds, call)


@case("a spent plan window is a RateLimitError that says not to retry")
def _():
    # A proxy of its own: it remembers the reset and answers by itself until then.
    error = raises(openai.RateLimitError, lambda: connect(base_url=SPENT_URL).responses.create(
        model=MODEL, input="[[mock: status 429 usage-limit]]"))
    same((error.code, error.response.headers.get("x-should-retry")), ("usage_limit_reached", "false"))


@case("an upstream web page is an InternalServerError without HTML")
def _():
    error = raises(openai.InternalServerError, lambda: client.responses.create(
        model=MODEL, input="[[mock: status 403 cloudflare]]"))
    assert "<" not in str(error.message), error.message


@case("a context that is too long is a BadRequestError")
def _():
    error = raises(openai.BadRequestError, lambda: client.responses.create(
        model=MODEL, input="[[mock: status 400 context-length]]"))
    same(error.code, "context_length_exceeded")


@case("E1, E2: comments, unknown fields and events of the backend do no harm")
def _():
    prompt = "[[mock: unknown-events]] [[mock: crlf]] [[mock: reasoning]] [[mock: echo done]]"
    with client.responses.stream(model=MODEL, input=prompt) as stream:
        list(stream)
        same(stream.get_final_response().output_text, "done")
    with client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": prompt}]) as stream:
        list(stream)
        same(stream.get_final_completion().choices[0].message.content, "done")


@case("E3: the signs of life of a silent stream do no harm")
def _():
    # A little longer than the proxy's interval, both APIs at once.
    prompt = "[[mock: slow 16000]] [[mock: echo awake]]"

    def through_responses():
        with client.responses.stream(model=MODEL, input=prompt) as stream:
            return stream.get_final_response().output_text

    def through_chat():
        messages = [{"role": "user", "content": prompt}]
        with client.chat.completions.stream(model=MODEL, messages=messages) as stream:
            return stream.get_final_completion().choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor() as pool:
        same([it.result() for it in [pool.submit(through_responses), pool.submit(through_chat)]], ["awake"] * 2)


@case("E6: a short limit is waited for, a long one ends the retries")
def _():
    patient = connect(retries=2)
    same(patient.responses.create(model=MODEL, input="E6. [[mock: once status 429 rate-limit]] [[mock: echo served]]")
         .output_text, "served")
    before = time.monotonic()
    raises(openai.RateLimitError, lambda: connect(base_url=SPENT_URL, retries=2).responses.create(
        model=MODEL, input="[[mock: status 429 usage-limit]]"))
    assert time.monotonic() - before < 5


@case("E7, E8, E10: the stream helpers raise what broke in mid-stream")
def _():
    def through_responses(prompt):
        with client.responses.stream(model=MODEL, input=prompt) as stream:
            return stream.get_final_response()

    def through_chat(prompt):
        with client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": prompt}]) as stream:
            return stream.get_final_completion()

    for marker in ("fail server_error", "error-event", "cut", "drop", "reset"):
        for through in (through_responses, through_chat):
            raises(openai.APIError, lambda it=through, words=marker: it(f"[[mock: {words}]]"))


# Models and the login


@case("models.list and models.retrieve")
def _():
    models = list(client.models.list())
    names = [it.id for it in models]
    assert MODEL in names and "gpt-5.2-codex" in names, names
    assert all(it.object == "model" and it.created and it.owned_by for it in models)
    same(client.models.retrieve(MODEL).id, MODEL)


@case("the documented default model works and is echoed")
def _():
    answer = client.responses.create(model="gpt-5.2-codex", input="[[mock: echo fine]]")
    same((answer.model, answer.output_text), ("gpt-5.2-codex", "fine"))


@case("a stale login is renewed without the client noticing")
def _():
    for number in range(2):
        before = mock("GET", "/__mock/state")["token_posts"]
        mock("POST", "/__mock/expire-tokens")
        if number:
            chunks = chat("[[mock: echo renewed]]", stream=True)
            text = "".join(it.choices[0].delta.content or "" for it in chunks)
        else:
            text = client.responses.create(model=MODEL, input="[[mock: echo renewed]]").output_text
        same((text, mock("GET", "/__mock/state")["token_posts"] - before), ("renewed", 1))


@case("the examples run as they stand")
def _():
    with Example("python") as home:
        streamed, told = home.follow()
    same(streamed, "Mock answer to: Say hello.")
    assert "22 degrees in Rome" in told, told


@case("what `godex connect python` prints runs as it stands")
def _():
    with Example("python") as home:
        program = home.run(GODEX, "connect", "python", "--url", BASE_URL, "--key", KEY)
        same(home.run(sys.executable, "-c", program), "Mock answer to: Say hello.\n")


main()
