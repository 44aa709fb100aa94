"""Lets the model call a function, until it has what it needs to answer."""

import json
import sys

from openai import OpenAI


def weather(city):
    return f"22 degrees in {city}"


TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}

client = OpenAI()
response = client.responses.create(model="gpt-5.5", input=sys.argv[1], tools=[TOOL])
while calls := [it for it in response.output if it.type == "function_call"]:
    outputs = [
        {"type": "function_call_output", "call_id": it.call_id, "output": weather(**json.loads(it.arguments))}
        for it in calls
    ]
    response = client.responses.create(
        model="gpt-5.5", previous_response_id=response.id, input=outputs, tools=[TOOL]
    )
print(response.output_text)
