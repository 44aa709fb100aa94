"""Continue's `cn`, headless, with an empty home: a text turn and a shell turn."""

import json

from connected import connects, greets
from headless import (BASE_URL, KEY, PROOF, SHELL, TEXT, Home, answers, binary, case, main, one_session, quotes,
                      recorded)

CONFIG = """
name: godex
version: 1.0.0
schema: v1
models:
  - name: godex
    provider: openai
    model: gpt-5.5
    apiBase: {base}
    apiKey: {key}
    roles: [chat]
"""


def ask(prompt):
    """What `cn -p` printed, and what the backend was sent meanwhile."""
    with Home() as home, recorded() as sent:
        config = home.write("config.yaml", CONFIG.format(base=json.dumps(BASE_URL), key=json.dumps(KEY)))
        answer = home.run(binary("cn"), "--config", config, "--auto", "-p", prompt,
                          CONTINUE_TELEMETRY_ENABLED="0", CONTINUE_CLI_ENABLE_TELEMETRY="0")
    return answer, sent


@case("responses: text turn")
def _():
    answers(ask(TEXT)[0])


@case("responses: shell turn, one session")
def _():
    answer, sent = ask(SHELL)
    quotes(answer, PROOF)
    one_session(sent)


@case("`godex connect continue --write` is all that it needs, and `--restore` leaves the file as it was")
def _():
    before = "name: mine  # kept\nversion: 1.0.0\nschema: v1\n"
    greets(connects("continue", ".continue/config.yaml", before, programs={"cn": binary("cn")},
                     CONTINUE_TELEMETRY_ENABLED="0", CONTINUE_CLI_ENABLE_TELEMETRY="0"))


main()
