"""llm-comply, unmodified: its compliance cases for Open Responses (those of the project's own
runner, over HTTP) and for Chat Completions, each held against the published schema."""

import json
import os
import pathlib
import subprocess

BASE_URL = os.environ["GODEX_BASE_URL"]
KEY = os.environ["GODEX_API_KEY"]
PROGRAM = pathlib.Path(os.environ["GODEX_CLIENT_FOLDER"]) / "venv/bin/llm-comply"
# What is different here, and the words in which the suite says so.
DIFFERENT = {
    name: ("HTTP 200", "a request without a model is answered by that of --model")
    for name in ["error-handling", "chat-error-handling"]
}
# They pass, with a 404: the proxy has no such endpoint.
NOT_SERVED = {"compact-response", "compact-missing-model"}

for style in ["open-responses", "openai-chat"]:
    command = [PROGRAM, "--format", style, "-u", BASE_URL, "-k", KEY, "-m", "gpt-5.5", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    for result in json.loads(done.stdout)["results"]:
        case = f"{style}: {result['name']}"
        errors = " ".join(result.get("errors", []))
        words, reason = DIFFERENT.get(result["id"], (None, None))
        if result["id"] in NOT_SERVED:
            continue
        if words:
            good = result["status"] == "failed" and words in errors
            print(f"PASS {style}: {reason}" if good else f"FAIL {case} is not different: {result}")
        elif result["status"] == "passed" and not result.get("warnings"):
            print(f"PASS {case}")
        else:
            print(f"FAIL {case}: {result['status']} {errors} {result.get('warnings', '')}")
