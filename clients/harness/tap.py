"""Records what a client sends, byte for byte, between it and the proxy; redacted as fixtures/README.md says."""

import json
import re
import socket
import threading

FILLER = "loremipsumdolorsitametconsecteturadipiscingelitseddoeiusmodtempor"
LONG = 200


class Tap:
    """Relays connections to a port and keeps what came from the client."""

    def __init__(self, port):
        self.port, self.streams = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            kept = bytearray()
            self.streams.append(kept)
            for source, sink, keep in [(client, server, kept), (server, client, None)]:
                threading.Thread(target=relay, args=(source, sink, keep), daemon=True).start()

    def stop(self):
        self.listener.close()

    def write(self, folder, name):
        """Writes each request for an answer: `INTERFACE/NAME_N.json` and its headers beside it."""
        number = 0
        for stream in self.streams:
            for line, headers, body in requests(bytes(stream)):
                interface = next((it for it in ("responses", "chat") if f"/{it}" in line), None)
                if not body or not interface:
                    continue
                number += 1
                target = folder / interface / f"{name}_{number}.json"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(redact(body.decode()).encode())
                listed = ",\n".join(f"    {json.dumps(it)}" for it in headers)
                text = f'{{\n  "line": {json.dumps(line)},\n  "headers": [\n{listed}\n  ]\n}}\n'
                target.with_suffix(".headers.json").write_text(text, encoding="utf-8")


def relay(source, sink, keep):
    try:
        while data := source.recv(1 << 16):
            if keep is not None:
                keep += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        sink.close()


def requests(stream):
    """The requests of a connection: line, headers as pairs, body."""
    while b"\r\n\r\n" in stream:
        head, stream = stream.split(b"\r\n\r\n", 1)
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = [it.split(": ", 1) for it in rest]
        named = {name.lower(): value for name, value in headers}
        if named.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, stream = stream.split(b"\r\n", 1)
                chunk, stream = stream[:int(size, 16)], stream[int(size, 16) + 2:]
                if not chunk:
                    break
                body += chunk
        else:
            length = int(named.get("content-length", 0))
            body, stream = stream[:length], stream[length:]
        yield line, headers, body


def redact(body):
    """The body with another's long texts made unreadable; no length and no escape changes."""
    body = re.sub(r"/tmp/godex-clients-[^\s\"\\<>`']*", lambda it: ("/home/dev/project" + "1" * 500)[:len(it.group())], body)
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda it: unreadable(it.group()), body)


def unreadable(string):
    if len(string.encode()) < LONG or not re.search(r"\s|\\n", string):
        return string
    parts, at = [], 0
    # Markers and the answers of the simulated model stay, and so does every escape.
    for part in re.split(r"(\[\[mock:.*?\]\]|\\u[0-9a-fA-F]{4}|\\.)", string):
        if part.startswith(("[[mock:", "\\")):
            parts.append(part)
            continue
        for letter in part:
            if letter.isascii() and letter.isalpha():
                filled = FILLER[at % len(FILLER)]
                at += 1
                letter = filled.upper() if letter.isupper() else filled
            parts.append(letter)
    return "".join(parts)
