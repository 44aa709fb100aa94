"""pi, headless, with an empty home: both interfaces, a text turn and a shell turn each."""

from headless import (BASE_URL, KEY, PROOF, SHELL, TEXT, Home, answers, binary, case, main, one_session, quotes,
                      recorded)

MODEL = "gpt-5.5"
APIS = {"responses": "openai-responses", "chat": "openai-completions"}


def ask(interface, prompt):
    """What `pi -p` printed, and what the backend was sent meanwhile."""
    with Home() as home, recorded() as sent:
        provider = {"baseUrl": BASE_URL, "apiKey": KEY, "api": APIS[interface], "models": [{"id": MODEL}]}
        home.write(".pi/agent/models.json", {"providers": {"godex": provider}})
        answer = home.run(binary("pi"), "--offline", "--provider", "godex", "--model", MODEL, "-p", prompt)
    return answer, sent


def text_turn(interface):
    answer, _ = ask(interface, TEXT)
    answers(answer)


def shell_turn(interface):
    answer, sent = ask(interface, SHELL)
    quotes(answer, PROOF)
    one_session(sent)


for name in APIS:
    case(f"{name}: text turn")(lambda name=name: text_turn(name))
    case(f"{name}: shell turn, one session")(lambda name=name: shell_turn(name))

main()
