"""The clients: a folder with a `client.toml` each. Their packages are installed from lock files into target/clients."""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import tomllib

CLIENTS = pathlib.Path(__file__).resolve().parent.parent
CACHE = CLIENTS.parent / "target" / "clients"
RUNTIMES = CLIENTS / "runtimes"
FIELDS = {"name", "kind", "package", "interfaces", "ci", "runtime", "python", "seconds"}
INSTALL_SECONDS = 900


class Unavailable(Exception):
    """This machine cannot run the client, and why."""


class Client:
    """What `client.toml` says of a client; the README beside this folder explains each field."""

    def __init__(self, folder):
        self.folder, self.id = folder, folder.name
        said = tomllib.loads((folder / "client.toml").read_text(encoding="utf-8"))
        if unknown := set(said) - FIELDS:
            raise ValueError(f"{self.id}/client.toml: nobody reads {', '.join(sorted(unknown))}")
        self.name, self.kind, self.package = said["name"], said["kind"], said["package"]
        if self.kind not in ("sdk", "suite", "agent"):
            raise ValueError(f"{self.id}/client.toml: kind is sdk, suite or agent")
        self.interfaces = said["interfaces"]
        self.ci = said.get("ci", True)
        self.runtime = said.get("runtime")
        self.python = said.get("python")
        self.seconds = said.get("seconds", 300)

    def version(self):
        """The version that the lock file pins."""
        lock = self.folder / "package-lock.json"
        if lock.exists():
            packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
            return packages[f"node_modules/{self.package}"]["version"]
        text = (self.folder / "requirements.txt").read_text(encoding="utf-8")
        pinned = re.search(rf"^{re.escape(self.package)}==(\S+)", text, re.M | re.I)
        if not pinned:
            raise ValueError(f"{self.id}/requirements.txt does not pin {self.package}")
        return pinned.group(1)

    def install(self):
        """The folder with the packages, and the folders that its PATH begins with."""
        path = []
        if self.runtime:
            path.append(node_of(install(RUNTIMES / self.runtime)))
        return install(self.folder, self.python), path


def discover():
    """Every client, SDKs first."""
    found = [Client(path.parent) for path in CLIENTS.glob("*/client.toml")]
    return sorted(found, key=lambda it: (it.kind != "sdk", it.id))


def attempt(command, cwd, tries=3):
    """Runs an install step, again when a download was flaky."""
    for left in reversed(range(tries)):
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, timeout=INSTALL_SECONDS, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0:
            return
        if not left:
            words = " ".join(done.stdout.split())[-400:]
            raise Unavailable(f"`{' '.join(map(str, command[:4]))}` failed: {words}")
        time.sleep(3)


def interpreter(versions):
    """A Python of one of these versions (`3.11 3.12`); without a wish, the one that runs this."""
    if not versions:
        return sys.executable
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here in versions.split():
        return sys.executable
    for version in reversed(versions.split()):
        found = shutil.which(f"python{version}")
        if found and subprocess.run([found, "-c", "import ensurepip, venv"], check=False,
                                    capture_output=True).returncode == 0:
            return found
    raise Unavailable(f"it needs Python {' or '.join(versions.split())}; this is {here}")


def install(source, python=None):
    """Fills a folder from the lock files of a source folder, only when they changed."""
    locks = sorted(source.glob("requirements.txt")) + sorted(source.glob("package*.json"))
    command = interpreter(python) if (source / "requirements.txt").exists() else None
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in locks)).hexdigest()[:12]
    folder = CACHE / f"{source.name}-{digest}"
    if (folder / "installed").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in locks:
        shutil.copy(path, folder)
    if command:
        attempt([command, "-m", "venv", folder / "venv"], folder)
        attempt([folder / "venv/bin/python", "-m", "pip", "install", "--quiet",
                 "--disable-pip-version-check", "-r", "requirements.txt"], folder)
    if (source / "package.json").exists():
        # Not `npm ci`: it refuses a lock without the optional packages of other machines, which a
        # lock lacks when the registry that it was written from does not have them.
        attempt(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    (folder / "installed").touch()
    return folder


def node_of(folder):
    """The folder of the `node` that the runtime's package for this machine brought."""
    for found in sorted(folder.glob("node_modules/node-*/bin/node")):
        return str(found.parent)
    raise Unavailable("the Node.js it needs is not published for this machine")
