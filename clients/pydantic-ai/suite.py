"""Pydantic AI, unmodified: agents with tools and every kind of typed output, over both APIs."""

import openai
from headless import BASE_URL, KEY, main
from library import (BROKEN, MODEL, RATE_LIMIT, TWO_CALLS, TWO_TURNS, case, get_time, get_weather,
                     quotes_the_tools, raises_in, same)
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

KINDS = {"responses": OpenAIResponsesModel, "chat": OpenAIChatModel}


class Event(BaseModel):
    name: str
    day: int
    guests: list[str]


class Report(BaseModel):
    words: str


def agent(kind, key=KEY, **more):
    client = openai.AsyncOpenAI(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30)
    model = KINDS[kind](MODEL, provider=OpenAIProvider(openai_client=client))
    return Agent(model, instructions="Be brief.", **more)


@case("text, with usage", over=KINDS)
async def _(kind):
    result = await agent(kind).run("[[mock: echo Grüß Gott 😀]]")
    same(result.output, "Grüß Gott 😀")
    assert result.usage.input_tokens > 0 and result.usage.output_tokens > 0


@case("streamed text", over=KINDS)
async def _(kind):
    async with agent(kind).run_stream("[[mock: echo one two three]]") as result:
        deltas = [it async for it in result.stream_text(delta=True, debounce_by=None)]
    same("".join(deltas), "one two three")


@case("two tools in parallel, their outputs in the answer", over=KINDS)
async def _(kind):
    quotes_the_tools((await agent(kind, tools=[get_weather, get_time]).run(TWO_CALLS)).output)


@case("two tools one after another, streamed", over=KINDS)
async def _(kind):
    async with agent(kind, tools=[get_weather, get_time]).run_stream(TWO_TURNS) as result:
        quotes_the_tools(await result.get_output())


@case("a second turn over the first one's messages", over=KINDS)
async def _(kind):
    guide = agent(kind, tools=[get_weather, get_time])
    first = await guide.run(TWO_CALLS)
    second = await guide.run("[[mock: echo again]]", message_history=first.all_messages())
    same(second.output, "again")


@case("typed output by an output tool", over=KINDS)
async def _(kind):
    assert isinstance((await agent(kind, output_type=ToolOutput(Event)).run("A party.")).output, Event)


@case("typed output by a JSON schema", over=KINDS)
async def _(kind):
    assert isinstance((await agent(kind, output_type=NativeOutput(Event)).run("A party.")).output, Event)


@case("typed output by the prompt alone", over=KINDS)
async def _(kind):
    prompt = '[[mock: echo {"name": "a", "day": 1, "guests": []}]]'
    same((await agent(kind, output_type=PromptedOutput(Event)).run(prompt)).output, Event(name="a", day=1, guests=[]))


@case("typed output after tools holds what they said", over=KINDS)
async def _(kind):
    guide = agent(kind, tools=[get_weather, get_time], output_type=ToolOutput(Report))
    quotes_the_tools((await guide.run(TWO_CALLS)).output.words)


@case("streamed typed output", over=KINDS)
async def _(kind):
    async with agent(kind, output_type=NativeOutput(Event)).run_stream("A party.") as result:
        partial = [it async for it in result.stream_output(debounce_by=None)]
    assert partial and isinstance(partial[-1], Event), partial


@case("responses: turns chained by previous_response_id")
async def _():
    guide = agent("responses", tools=[get_weather, get_time])
    result = await guide.run(TWO_TURNS, model_settings={"openai_previous_response_id": "auto"})
    quotes_the_tools(result.output)


@case("tools between two thoughts, which come back", over=KINDS)
async def _(kind):
    guide = agent(kind, tools=[get_weather, get_time])
    settings = {"openai_reasoning_effort": "low", **({"openai_reasoning_summary": "auto"} if kind == "responses" else {})}
    result = await guide.run(f"[[mock: reasoning]] {TWO_TURNS}", model_settings=settings)
    thoughts = [part for it in result.all_messages() for part in it.parts if part.part_kind == "thinking"]
    same(len(thoughts), 3)
    quotes_the_tools(result.output)


@case("a wrong key is a 401", over=KINDS)
async def _(kind):
    error = await raises_in(ModelHTTPError, agent(kind, key="wrong-key").run("Hi"))
    same(error.status_code, 401)


@case("a rate limit is a 429", over=KINDS)
async def _(kind):
    error = await raises_in(ModelHTTPError, agent(kind).run(RATE_LIMIT))
    same(error.status_code, 429)


@case("a failure in mid-stream is an error", over=KINDS)
async def _(kind):
    async def read(prompt):
        async with agent(kind).run_stream(prompt) as result:
            return await result.get_output()
    for prompt in BROKEN:
        await raises_in((openai.APIError, AgentRunError), read(prompt))


main()
