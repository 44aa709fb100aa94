"""What suites share that take `godex connect` and the commands of `examples` by their word."""

import os
import pathlib
import re
import shutil
import sys

from headless import BASE_URL, PACKAGES, Home

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"
GODEX = pathlib.Path(os.environ["GODEX_BIN"])
DEFAULT_URL = "http://127.0.0.1:39001/v1"


def commands(client):
    """What examples/CLIENT/README.md has one type, installing aside; the address is that of this proxy."""
    text = (EXAMPLES / client / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^(<!-- [^\n]* -->\n)?```console\n(.*?)^```", text, re.M | re.S)
    typed = [block for note, block in blocks if "installs packages" not in note]
    found = re.findall(r"^\$ (.*)$", "".join(typed), re.M)
    assert found, f"examples/{client} has nothing to type"
    return [it.replace(DEFAULT_URL, BASE_URL) for it in found]


def greets(answer):
    """The answer is what the simulated model says to the prompt of the examples; the agent may have dated it."""
    said = answer.split("Mock answer to: ")
    assert len(said) > 1 and "Say hello." in said[-1], f"no answer in {answer[-600:]!r}"


class Example(Home):
    """A home in which somebody follows an example, with the client's programs and godex at hand."""

    def __init__(self, client, **programs):
        super().__init__()
        self.client = client
        self.bin = self.root / "bin"
        self.bin.mkdir()
        for name, path in {"godex": GODEX, **programs}.items():
            (self.bin / name).symlink_to(path)
        shutil.copytree(EXAMPLES / client, self.work, dirs_exist_ok=True)
        if (PACKAGES / "node_modules").exists():
            # Modules are looked up beside the program.
            (self.work / "node_modules").symlink_to(PACKAGES / "node_modules")

    def follow(self, **env):
        """What each command printed; `export` counts for those after it."""
        listen = BASE_URL.removeprefix("http://").removesuffix("/v1")
        path = [str(self.bin), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        env = {"PATH": os.pathsep.join(path), "GODEX_PROXY_LISTEN": listen,
               "GODEX_PROXY_KEYS_PATH": os.environ["GODEX_KEYS_PATH"], **env}
        printed, exported = [], []
        for command in commands(self.client):
            if command.startswith("export "):
                exported.append(command)
            else:
                script = "\n".join([*exported, command])
                printed.append(self.run("sh", "-c", script, seconds=200, **env))
        return printed


def connects(client, file, before, /, programs, **env):
    """The example of a client with a file of its own: what the client answered in between. Afterwards the file is as before."""
    with Example(client, **programs) as home:
        target = home.root / file
        if before is not None:
            home.write(file, before)
        kept = target.read_bytes() if before is not None else None
        _, answer, _ = home.follow(**env)
        left = target.read_bytes() if target.exists() else None
        assert left == kept, f"--restore left {left!r} of {kept!r}"
    return answer
