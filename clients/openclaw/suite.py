"""OpenClaw, headless, with an empty home and the configuration of docs/connect.md: both interfaces, conversations of several turns."""

import json
import pathlib
import re

from connected import connects, greets
from headless import (BASE_URL, KEY, PACKAGES, PROOF, SHELL, TEXT, Home, answers, binary, case, main, one_session,
                      quotes, recorded)

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/connect.md"
APIS = {"responses": "openai-responses", "chat": "openai-completions"}
# What runs unattended needs beside the provider.
UNATTENDED = {"$include": "./godex.json5", "agents": {"defaults": {"skipBootstrap": True}},
              "tools": {"exec": {"host": "gateway", "security": "full", "ask": "off"}}}


def snippet(interface):
    """The configuration of docs/connect.md, with this proxy's address."""
    section = PAGE.read_text(encoding="utf-8").split("## OpenClaw", 1)[1]
    text = re.search(r"```json5\n(.*?)```", section, re.S).group(1)
    for old, new in [("http://127.0.0.1:39001/v1", BASE_URL), ("local-dev-key", KEY),
                     ('"openai-responses"', json.dumps(APIS[interface]))]:
        assert old in text, f"docs/connect.md has no {old}"
        text = text.replace(old, new)
    return "{" + text + "}"


class Claw(Home):
    """A home with a configured OpenClaw."""

    def __init__(self, interface):
        super().__init__()
        self.write(".openclaw/godex.json5", snippet(interface))
        self.write(".openclaw/openclaw.json", UNATTENDED)

    def say(self, message, session="one"):
        """One turn: what the user gets to see, and what the backend was sent."""
        with recorded() as sent:
            out = self.run(binary("openclaw"), "agent", "--local", "--agent", "main", "--session-id", session,
                           "--message", message, "--json", "--timeout", "100", seconds=200,
                           OPENCLAW_STATE_DIR=str(self.root / ".openclaw"),
                           NODE_COMPILE_CACHE=str(PACKAGES / "compiled"))
        found = re.findall(r'"finalAssistantVisibleText": (".*")', out)
        assert found, f"no answer in {out[-600:]!r}"
        return json.loads(found[-1]), sent


def declare(interface):
    """The cases of one interface: turns of one OpenClaw, so a later one needs those before it."""
    claw, conversation = Claw(interface), []

    @case(f"{interface}: text turn with the configuration of the documentation")
    def _():
        answer, sent = claw.say(TEXT)
        answers(answer)
        conversation.extend(sent)

    @case(f"{interface}: a shell turn in the same conversation")
    def _():
        answer, sent = claw.say(SHELL)
        quotes(answer, PROOF)
        conversation.extend(sent)

    @case(f"{interface}: all requests of a conversation are one session, another conversation is another")
    def _():
        assert len(conversation) == 3, f"the conversation has {len(conversation)} requests"
        with claw:
            _, sent = claw.say("Something else.", session="two")
        here, there = one_session(conversation), one_session(sent)
        assert here != there, "two conversations share one cache key"


for name in APIS:
    declare(name)

@case("`godex connect openclaw --write` is all that it needs, and `--restore` leaves the file as it was")
def _():
    before = "// kept\n" + json.dumps({it: UNATTENDED[it] for it in ("agents", "tools")}, indent=2)
    greets(connects("openclaw", ".openclaw/openclaw.json", before, programs={"openclaw": binary("openclaw")},
                     NODE_COMPILE_CACHE=str(PACKAGES / "compiled")))


main()
