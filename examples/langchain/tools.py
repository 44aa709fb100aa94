"""Lets the model call a function, until it has what it needs to answer."""

import sys

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"22 degrees in {city}"


model = ChatOpenAI(model="gpt-5.5", use_responses_api="responses" in sys.argv[2:]).bind_tools([weather])
messages = [HumanMessage(sys.argv[1])]
while True:
    answer = model.invoke(messages)
    messages.append(answer)
    if not answer.tool_calls:
        break
    messages += [weather.invoke(it) for it in answer.tool_calls]
print(answer.text)
