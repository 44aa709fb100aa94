"""Prints an answer as it comes."""

import sys

from openai import OpenAI

client = OpenAI()
with client.responses.stream(model="gpt-5.5", input=sys.argv[1]) as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
    usage = stream.get_final_response().usage
print(f"\n{usage.total_tokens} tokens, {usage.input_tokens_details.cached_tokens} of them from the cache", file=sys.stderr)
