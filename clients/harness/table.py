"""docs/clients.md: the table of clients and, per client, its cases. Clients that were not run keep their lines."""

import re

OPEN = "<!-- written by clients/run --write-table -->"
CLOSE = "<!-- end of what is written -->"
COUNTED = {"PASS": "pass", "FAIL": "**fail**", "SKIP": "not run"}
NAMED = {"PASS": "", "FAIL": "**fails**: ", "SKIP": "not run: "}


def row(client, verdicts):
    counts = [(len([it for it in verdicts if it[0] == verdict]), verdict) for verdict in COUNTED]
    told = ", ".join(f"{count} {COUNTED[verdict]}" for count, verdict in counts if count)
    kind = {"sdk": "library", "suite": "test suite", "agent": "agent"}[client.kind]
    when = "every change" if client.ci else "`clients/run --all`"
    return f"| {client.name} | {client.version()} | {kind} | {', '.join(client.interfaces)} | {told} | {when} |"


def section(client, verdicts):
    return "\n".join([f"### {client.name}", "", *[f"- {NAMED[verdict]}{case}" for verdict, case in verdicts]])


def written(text):
    """The rows and sections that the document has, by the client's name."""
    rows = {it.group(1): it.group(0) for it in re.finditer(r"^\| ([^|]+?) \| \d[^|]* \|.*$", text, re.M)}
    sections = {}
    for part in re.split(r"^(?=### )", text, flags=re.M):
        if named := re.match(r"### (.+)", part):
            sections[named.group(1)] = part.strip()
    return rows, sections


def write(path, clients, results):
    """Writes the results, `{client id: [(verdict, case)]}`, between the marks of the document."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(OPEN)
    old, _, after = rest.partition(CLOSE)
    rows, sections = written(old)
    for client in clients:
        if client.id in results:
            rows[client.name] = row(client, results[client.id])
            sections[client.name] = section(client, results[client.id])
    names = [client.name for client in clients if client.name in rows]
    table = ["| client | version | kind | interfaces | cases | run on |", "|---|---|---|---|---|---|"]
    body = "\n".join(table + [rows[name] for name in names])
    parts = [OPEN, body, "## Cases", *[sections[name] for name in names if name in sections], CLOSE]
    path.write_text(before + "\n\n".join(parts) + after, encoding="utf-8")
