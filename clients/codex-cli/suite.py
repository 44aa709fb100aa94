"""The real Codex CLI, headless, with an empty home: text turns and shell round trips."""

import json
import os
import pathlib
import subprocess
import tempfile

BASE_URL = os.environ["GODEX_BASE_URL"]
CODEX = pathlib.Path(os.environ["GODEX_CLIENT_FOLDER"]) / "node_modules/.bin/codex"
SECONDS = 60

CONFIG = """
model = {model}
model_provider = "godex"
check_for_update_on_startup = false

[model_providers.godex]
name = "godex"
base_url = {base_url}
env_key = "GODEX_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false
"""

# The arithmetic is done by the shell: the prompt holds no `proof-42` that an echo could quote.
COMMAND = "echo proof-$((40+2))"
PLAIN_CALL = "[[mock: tool exec_command " + json.dumps({"cmd": COMMAND}) + "]]"
# Lite models run commands from a script that they give to the freeform tool `exec`.
SCRIPT = "const done = await tools.exec_command({cmd: " + json.dumps(COMMAND) + "}); text(done.output);"
LITE_CALL = f"[[mock: custom exec {SCRIPT}]]"


def ask(model, prompt):
    """The last message of one `codex exec` turn."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder) / "home"
        work = pathlib.Path(folder) / "work"
        (home / ".codex").mkdir(parents=True)
        work.mkdir()
        config = CONFIG.format(model=json.dumps(model), base_url=json.dumps(BASE_URL))
        (home / ".codex/config.toml").write_text(config, encoding="utf-8")
        answer = work / "answer.txt"
        command = [CODEX, "exec", "--skip-git-repo-check", "--ephemeral",
                   "--dangerously-bypass-approvals-and-sandbox", "-o", answer, prompt]
        env = {**os.environ, "HOME": str(home), "CODEX_HOME": str(home / ".codex")}
        done = subprocess.run(command, cwd=work, env=env, stdin=subprocess.DEVNULL, timeout=SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode or not answer.exists():
            raise AssertionError(f"codex exec ended with {done.returncode}: {done.stdout[-500:]!r}")
        return answer.read_text(encoding="utf-8").strip()


def text_turn(model):
    answer = ask(model, "Say hello.")
    assert answer, "the final answer is empty"


def shell_turn(model, call):
    answer = ask(model, f"Run the command and tell me what it printed. {call}")
    assert "proof-42" in answer, f"the final answer does not quote the output: {answer!r}"


CASES = [
    ("text turn, plain model gpt-5.5", lambda: text_turn("gpt-5.5")),
    ("text turn, lite model gpt-6.1-sol", lambda: text_turn("gpt-6.1-sol")),
    ("text turn, the documented default model gpt-5.2-codex", lambda: text_turn("gpt-5.2-codex")),
    ("shell round trip, plain model gpt-5.5", lambda: shell_turn("gpt-5.5", PLAIN_CALL)),
    ("shell round trip, lite model gpt-6.1-sol", lambda: shell_turn("gpt-6.1-sol", LITE_CALL)),
]

for name, case in CASES:
    try:
        case()
        print(f"PASS {name}", flush=True)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"FAIL {name}: {' '.join(str(error).split())[:600]}", flush=True)
