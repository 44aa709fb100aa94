"""The real Codex CLI, headless, with an empty home: text turns, shell loops, edits, and reasoning that comes back."""

import json

from connected import connects, greets
from headless import BASE_URL, COMMAND, PROOF, SHELL, TEXT, Home, answers, binary, case, main, one_session, quotes, recorded

CONFIG = f"""
model_provider = "godex"
check_for_update_on_startup = false

[model_providers.godex]
name = "godex"
base_url = {json.dumps(BASE_URL)}
env_key = "GODEX_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false
"""
PLAIN, LITE, DEFAULT = "gpt-5.5", "gpt-6.1-sol", "gpt-5.2-codex"
PATCH = "*** Begin Patch\n*** Add File: added.txt\n+one\n*** End Patch"


class Codex(Home):
    """A home with a configured Codex CLI."""

    def __init__(self):
        super().__init__()
        self.write(".codex/config.toml", CONFIG)

    def ask(self, model, prompt, *more):
        """The last message of one `codex exec` turn, and what the backend was sent meanwhile."""
        answer = self.root / "answer.txt"
        with recorded() as sent:
            self.run(binary("codex"), "exec", *more, "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
                     "-m", model, "-o", answer, prompt, CODEX_HOME=str(self.root / ".codex"))
        return answer.read_text(encoding="utf-8").strip(), sent


def text_turn(model):
    with Codex() as codex:
        answers(codex.ask(model, TEXT)[0])


def shell_turn(model):
    with Codex() as codex:
        answer, sent = codex.ask(model, SHELL)
    quotes(answer, PROOF)
    one_session(sent)


for name, model in [("plain model", PLAIN), ("lite model", LITE), ("the documented default model", DEFAULT)]:
    case(f"text turn, {name} {model}")(lambda model=model: text_turn(model))
for name, model in [("plain model", PLAIN), ("lite model", LITE)]:
    case(f"shell turn, {name} {model}")(lambda model=model: shell_turn(model))


@case("a loop of three tool calls, the plan's tool among them, is one session")
def _():
    plan = json.dumps({"plan": [{"step": "look", "status": "in_progress"}]})
    loop = f"[[mock: tool update_plan {plan}]] [[mock: shell {COMMAND}]] [[mock: shell echo then-$((2*21))]]"
    with Codex() as codex:
        answer, sent = codex.ask(PLAIN, f"Work. {loop}")
    quotes(answer, PROOF)
    quotes(answer, "then-42")
    assert len(sent) == 4, f"the loop took {len(sent)} requests"
    one_session(sent)


@case("an edit with the freeform tool apply_patch")
def _():
    with Codex() as codex:
        answer, sent = codex.ask(PLAIN, f"Add a file. [[mock: custom apply_patch {PATCH}]]")
        added = (codex.work / "added.txt").read_text(encoding="utf-8")
    assert added == "one\n", f"the file holds {added!r}: {answer!r}"
    quotes(answer, "added.txt")
    kinds = [it["type"] for it in sent[-1]["body"]["input"]]
    assert {"custom_tool_call", "custom_tool_call_output"} <= set(kinds), kinds


def reasoning(request):
    """The encrypted reasoning that a request carries back to the backend."""
    return [it["encrypted_content"] for it in request["body"]["input"] if it.get("type") == "reasoning"]


@case("reasoning comes back to the backend with each further request of the turn")
def _():
    with Codex() as codex:
        answer, sent = codex.ask(PLAIN, f"[[mock: reasoning]] {SHELL} [[mock: shell echo two]]")
    quotes(answer, PROOF)
    counts = [len(reasoning(it)) for it in sent]
    assert counts == [0, 1, 2], f"the requests carry {counts} pieces of reasoning"
    assert all(text for it in sent for text in reasoning(it)), "a piece of reasoning is empty"
    assert reasoning(sent[2])[0] == reasoning(sent[1])[0], "the first piece of reasoning has changed"


@case("a resumed conversation keeps its session and its reasoning")
def _():
    with Codex() as codex:
        _, sent = codex.ask(PLAIN, f"[[mock: reasoning]] {TEXT}")
        answer, more = codex.ask(PLAIN, "And again.", "resume", "--last")
    quotes(answer, "And again.")
    one_session(sent + more)
    assert len(reasoning(more[-1])) == 1, f"the resumed request carries {len(reasoning(more[-1]))} pieces"


@case("`godex connect codex --write` is all that it needs, and `--restore` leaves the file as it was")
def _():
    before = "# kept\ncheck_for_update_on_startup = false\n\n[analytics]\nenabled = false  # kept, too\n"
    greets(connects("codex", ".codex/config.toml", before, programs={"codex": binary("codex")}))


main()
