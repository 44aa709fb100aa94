"""Cline's command line, headless, with an empty home: a text turn and a shell turn over Chat Completions."""

from connected import Example, greets
from headless import (BASE_URL, KEY, PROOF, SHELL, TEXT, Home, answers, binary, case, main, one_session, quotes,
                      recorded)

MODEL = "gpt-5.5"


def ask(prompt):
    """What `cline` printed, and what the backend was sent meanwhile."""
    with Home() as home, recorded() as sent:
        home.run(binary("cline"), "auth", "openai-compatible", "--apikey", KEY, "--modelid", MODEL,
                 "--baseurl", BASE_URL)
        answer = home.run(binary("cline"), "-P", "openai-compatible", "-m", MODEL, "-t", "100", prompt,
                          seconds=120)
    return answer, sent


@case("chat: text turn")
def _():
    answers(ask(TEXT)[0])


@case("chat: shell turn, one session")
def _():
    answer, sent = ask(SHELL)
    quotes(answer, PROOF)
    one_session(sent)


@case("what `godex connect cline` prints is all that it needs")
def _():
    with Example("cline", cline=binary("cline")) as home:
        greets(home.follow()[-1])


main()
