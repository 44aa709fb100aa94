"""opencode, headless, with an empty home: both of its OpenAI providers, a text turn and a shell turn each."""

import subprocess

from connected import connects, greets
from headless import (BASE_URL, KEY, PACKAGES, PROOF, SHELL, TEXT, Home, answers, case, main, one_session, quotes,
                      recorded)

MODEL = "gpt-5.5"
QUIET = {f"OPENCODE_DISABLE_{it}": "1" for it in ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")}
PROVIDERS = {"responses": "@ai-sdk/openai", "chat": "@ai-sdk/openai-compatible"}


def program():
    """The program that runs on this processor; an install script would have put it into place."""
    for found in sorted(PACKAGES.glob("node_modules/opencode-*/bin/opencode")):
        if subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    raise AssertionError("no package has a program for this machine")


def ask(interface, prompt):
    """What `opencode run` printed, and what the backend was sent meanwhile."""
    provider = {"npm": PROVIDERS[interface], "name": "godex", "models": {MODEL: {"name": MODEL}},
                "options": {"baseURL": BASE_URL, "apiKey": KEY}}
    with Home() as home, recorded() as sent:
        home.write("work/opencode.json", {"provider": {"godex": provider}, "model": f"godex/{MODEL}",
                                          "autoupdate": False, "share": "disabled", "permission": "allow"})
        answer = home.run(program(), "run", "--model", f"godex/{MODEL}", stdin=prompt,
                          **QUIET)
    return answer, sent


def text_turn(interface):
    answers(ask(interface, TEXT)[0])


def shell_turn(interface):
    answer, sent = ask(interface, SHELL)
    quotes(answer, PROOF)
    # A request of its own, without tools, asks for a title.
    one_session([it for it in sent if it["body"].get("tools")])


for name, npm in PROVIDERS.items():
    case(f"{name} ({npm}): text turn")(lambda name=name: text_turn(name))
    case(f"{name} ({npm}): shell turn, one session")(lambda name=name: shell_turn(name))

@case("`godex connect opencode --write` is all that it needs, and `--restore` leaves the file as it was")
def _():
    before = '{\n  // kept\n  "autoupdate": false, "share": "disabled"\n}\n'
    greets(connects("opencode", ".config/opencode/opencode.json", before, programs={"opencode": program()}, **QUIET))


main()
