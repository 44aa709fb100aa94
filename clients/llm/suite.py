"""llm, headless, with an empty home: a text turn, streaming and not, a tool turn and a schema, over both interfaces."""

import json

from headless import (BASE_URL, COMMAND, KEY, PROOF, TEXT, Home, answers, binary, case, main, one_session, quotes,
                      recorded)

MODEL = "gpt-5.5"
TOOL = """
import subprocess

def run(command: str) -> str:
    "Runs a command of the shell and returns what it printed."
    return subprocess.run(command, shell=True, capture_output=True, text=True).stdout
"""


def ask(interface, *arguments):
    """What `llm` printed, and what the backend was sent meanwhile."""
    with Home() as home, recorded() as sent:
        model = {"model_id": MODEL, "model_name": MODEL, "api_base": BASE_URL, "api_key_name": "godex",
                 "supports_tools": True, "supports_schema": True, "responses": interface == "responses"}
        home.write("llm/extra-openai-models.yaml", [model])
        answer = home.run(binary("llm"), "prompt", "--model", MODEL, "--key", KEY, *arguments,
                          LLM_USER_PATH=str(home.root / "llm"))
    return answer, sent


def declare(interface):
    """The cases of one interface."""
    @case(f"{interface}: text turn, streaming")
    def _():
        answers(ask(interface, TEXT)[0])

    @case(f"{interface}: text turn, not streaming")
    def _():
        answers(ask(interface, "--no-stream", TEXT)[0])

    @case(f"{interface}: tool turn, one session")
    def _():
        call = json.dumps({"command": COMMAND})
        answer, sent = ask(interface, "--functions", TOOL, f"Run it. [[mock: tool run {call}]]")
        quotes(answer, PROOF)
        one_session(sent)

    @case(f"{interface}: an answer in a schema")
    def _():
        answer, _ = ask(interface, "--schema", "name, guests int", "A party.")
        found = json.loads(answer)
        assert isinstance(found["name"], str) and isinstance(found["guests"], int), found


for name in ("responses", "chat"):
    declare(name)

main()
