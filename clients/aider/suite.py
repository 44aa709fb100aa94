"""aider, headless, with an empty home: a text turn, and an edit of a file that its text protocol asks for."""

from connected import connects, greets
from headless import (BASE_URL, KEY, TEXT, Home, answers, binary, case, main, recorded)

EDIT = "notes.txt\n<<<<<<< SEARCH\nbefore\n=======\nproof-42\n>>>>>>> REPLACE\n"


def ask(prompt, *files):
    """What `aider` printed, its work folder's files, and what the backend was sent meanwhile."""
    with Home() as home, recorded() as sent:
        home.write("work/notes.txt", "before\n")
        answer = home.run(binary("aider"), "--model", "openai/gpt-5.5", "--no-git", "--yes-always", "--no-check-update",
                          "--no-show-release-notes", "--analytics-disable", "--no-pretty", "--no-show-model-warnings",
                          "--no-gitignore", "--edit-format", "diff", "--map-tokens", "0", "--message", prompt, *files,
                          OPENAI_API_BASE=BASE_URL, OPENAI_API_KEY=KEY, LITELLM_LOCAL_MODEL_COST_MAP="True")
        return answer, (home.work / "notes.txt").read_text(encoding="utf-8"), sent


@case("chat: text turn")
def _():
    answers(ask(TEXT)[0])


@case("chat: an edit: aider has no tools, the answer's block changes the file")
def _():
    answer, text, _ = ask(f"Change it. [[mock: echo {EDIT}]]", "notes.txt")
    assert text == "proof-42\n", f"the file holds {text!r}: {answer[-600:]}"


@case("`godex connect aider --write` is all that it needs, and `--restore` leaves the file as it was")
def _():
    before = "# kept\ncheck-update: false\nshow-release-notes: false\nanalytics-disable: true\npretty: false\nshow-model-warnings: false"
    greets(connects("aider", ".aider.conf.yml", before, programs={"aider": binary("aider")},
                     LITELLM_LOCAL_MODEL_COST_MAP="True"))


main()
