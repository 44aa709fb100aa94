"""The OpenAI Agents SDK, unmodified: agents with tools, handoffs and typed output over both APIs."""

import agents
import openai
from agents import Agent, Runner, function_tool
from headless import BASE_URL, KEY, main
from library import (BROKEN, MODEL, RATE_LIMIT, TWO_CALLS, TWO_TURNS, case, get_time, get_weather,
                     quotes_the_tools, raises_in, same)
from openai.types.responses import ResponseTextDeltaEvent
from openai.types.shared import Reasoning
from pydantic import BaseModel

agents.set_tracing_disabled(True)
KINDS = {"responses": agents.OpenAIResponsesModel, "chat": agents.OpenAIChatCompletionsModel}
TOOLS = [function_tool(get_weather), function_tool(get_time)]


class Event(BaseModel):
    name: str
    day: int
    guests: list[str]


def agent(kind, key=KEY, **more):
    client = openai.AsyncOpenAI(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30)
    return Agent(name="Guide", instructions="Be brief.", model=KINDS[kind](MODEL, client), **more)


@case("text, with usage", over=KINDS)
async def _(kind):
    result = await Runner.run(agent(kind), "[[mock: echo Grüß Gott 😀]]")
    same(result.final_output, "Grüß Gott 😀")
    assert result.context_wrapper.usage.total_tokens > 0


@case("streamed text", over=KINDS)
async def _(kind):
    result = Runner.run_streamed(agent(kind), "[[mock: echo one two three]]")
    deltas = [it.data.delta async for it in result.stream_events()
              if it.type == "raw_response_event" and isinstance(it.data, ResponseTextDeltaEvent)]
    same("".join(deltas), "one two three")
    same(result.final_output, "one two three")


@case("two tools in parallel, their outputs in the answer", over=KINDS)
async def _(kind):
    quotes_the_tools((await Runner.run(agent(kind, tools=TOOLS), TWO_CALLS)).final_output)


@case("two tools one after another, streamed", over=KINDS)
async def _(kind):
    result = Runner.run_streamed(agent(kind, tools=TOOLS), TWO_TURNS)
    items = [it.item.type async for it in result.stream_events() if it.type == "run_item_stream_event"]
    same([it for it in items if it.startswith("tool")], ["tool_call_item", "tool_call_output_item"] * 2)
    quotes_the_tools(result.final_output)


@case("a handoff to another agent", over=KINDS)
async def _(kind):
    expert = agent(kind).clone(name="Expert")
    result = await Runner.run(agent(kind, handoffs=[expert]), "[[mock: tool transfer_to_expert {}]] Who are you?")
    same(result.last_agent.name, "Expert")
    assert "Expert" in result.final_output, result.final_output


@case("a second turn over the first one's items", over=KINDS)
async def _(kind):
    guide = agent(kind, tools=TOOLS)
    first = await Runner.run(guide, TWO_CALLS)
    second = await Runner.run(guide, [*first.to_input_list(), {"role": "user", "content": "[[mock: echo again]]"}])
    same(second.final_output, "again")


@case("typed output", over=KINDS)
async def _(kind):
    result = await Runner.run(agent(kind, output_type=Event), "A party.")
    assert isinstance(result.final_output, Event), result.final_output


@case("turns chained by previous_response_id")
async def _():
    result = await Runner.run(agent("responses", tools=TOOLS), TWO_CALLS, auto_previous_response_id=True)
    quotes_the_tools(result.final_output)


@case("tools between two thoughts, which come back", over=KINDS)
async def _(kind):
    settings = agents.ModelSettings(reasoning=Reasoning(effort="low", summary="auto"))
    guide = agent(kind, tools=TOOLS, model_settings=settings)
    quotes_the_tools((await Runner.run(guide, f"[[mock: reasoning]] {TWO_TURNS}")).final_output)


@case("a wrong key is an AuthenticationError", over=KINDS)
async def _(kind):
    await raises_in(openai.AuthenticationError, Runner.run(agent(kind, key="wrong-key"), "Hi"))


@case("a rate limit is a RateLimitError", over=KINDS)
async def _(kind):
    await raises_in(openai.RateLimitError, Runner.run(agent(kind), RATE_LIMIT))


@case("a failure in mid-stream is an error", over=KINDS)
async def _(kind):
    async def read(prompt):
        result = Runner.run_streamed(agent(kind), prompt)
        return [it async for it in result.stream_events()]
    for prompt in BROKEN:
        await raises_in((openai.APIError, agents.AgentsException), read(prompt))


main()
