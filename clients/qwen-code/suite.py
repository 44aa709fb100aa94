"""Qwen Code, headless, with an empty home: a text turn and a shell turn over Chat Completions."""

from headless import (BASE_URL, COMMAND, KEY, PROOF, SHELL, TEXT, Home, answers, binary, case, main, one_session,
                      quotes, recorded)

# Qwen Code takes a command's output to be complete when the process has ended, also what it has
# not read yet. Blanks (it trims them) that no pipe holds keep the process until the proof is read.
PATIENT = SHELL.replace(COMMAND, f"{COMMAND}; printf '%1000000s'")


def ask(prompt):
    """What `qwen -p` printed, and what the backend was sent meanwhile."""
    with Home() as home, recorded() as sent:
        home.write(".qwen/settings.json", {"privacy": {"usageStatisticsEnabled": False},
                                           "telemetry": {"enabled": False},
                                           "general": {"disableAutoUpdate": True},
                                           # On a terminal of its own a short command's output may be
                                           # gone before it is read.
                                           "tools": {"shell": {"enableInteractiveShell": False}}})
        answer = home.run(binary("qwen"), "-y", "--auth-type", "openai", "--openai-api-key", KEY,
                          "--openai-base-url", BASE_URL, "-m", "gpt-5.5", "-p", prompt)
    return answer, sent


@case("chat: text turn")
def _():
    answers(ask(TEXT)[0])


@case("chat: shell turn, one session")
def _():
    answer, sent = ask(PATIENT)
    quotes(answer, PROOF)
    one_session(sent)


main()
