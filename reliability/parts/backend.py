"""A backend that does what the question orders: it answers, fails, cuts, stalls, and refuses old tokens.

The text of the last message is a JSON object, `{"fault": NAME, "id": ..., "words": N}`; the answer's
text begins with that id, so that a client notices an answer that is somebody else's.
"""

import asyncio
import base64
import contextlib
import json
import struct
import socket

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = {"models": [{"slug": "gpt-5.5", "visibility": "list", "priority": 1}]}
FAR = 4_102_444_800  # 2100: the end of a token that has none for us

# Before the model speaks: the client gets a status. After that: an error inside the stream.
BEFORE = ("429", "500", "503", "400", "html", "overloaded", "cut-before", "no-head")
MIDDLE = ("cut", "reset", "bad-chunk", "failed", "stall", "error-event", "nonsense")
FINE = ("", "", "", "", "slow", "large", "once-503", "crlf")


def segment(claims):
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def token(number):
    """An access token that tells its number."""
    return f'{segment({"alg": "none"})}.{segment({"exp": FAR, "number": number})}.c2ln'


def login(number=0):
    """An auth.json as the Codex CLI writes it, with a key that nobody here knows."""
    return {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": {
            "id_token": token(number),
            "access_token": token(number),
            "refresh_token": f"refresh-{number}",
            "account_id": "account",
        },
        "last_refresh": "2026-11-22T09:46:00.134265825Z",
        "unknown": {"kept": True},
    }


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def response(status, **fields):
    return {
        "id": "resp_1", "object": "response", "created_at": 1_795_348_800, "status": status,
        "model": "gpt-5.5", "output": [], **fields,
    }


def greeting():
    return event("response.created", response=response("in_progress"), sequence_number=0) + event(
        "response.in_progress", response=response("in_progress"), sequence_number=1
    )


def opening():
    item = {"id": "msg_1", "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return greeting() + event(
        "response.output_item.added", item=item, output_index=0, sequence_number=2
    ) + event("response.content_part.added", part=part, **place, sequence_number=3)


def delta(text, number):
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return event("response.output_text.delta", **place, delta=text, logprobs=[], sequence_number=number)


def closing(text, number):
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    item = {"id": "msg_1", "type": "message", "status": "completed", "content": [part], "role": "assistant"}
    usage = {
        "input_tokens": 11, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 18,
    }
    return (
        event("response.output_text.done", **place, text=text, logprobs=[], sequence_number=number)
        + event("response.content_part.done", part=part, **place, sequence_number=number + 1)
        + event("response.output_item.done", item=item, output_index=0, sequence_number=number + 2)
        + event("response.completed", response=response("completed", usage=usage), sequence_number=number + 3)
    )


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(status, body, more=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Backend:
    """Serves on loopback, counts what is open, and has idle connections end after `idle` seconds."""

    def __init__(self, idle=3.0):
        self.idle, self.open, self.asked, self.refreshes = idle, 0, 0, 0
        self.good_from = 0
        self.tried = set()
        self.issue = None

    async def start(self):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0, limit=1 << 24)
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        self.base_url = f"http://{self.address}/backend-api/codex"
        self.token_url = f"http://{self.address}/oauth/token"
        return self

    def expire(self):
        """Tokens issued so far are refused from now on."""
        self.good_from = self.refreshes + 1

    async def connection(self, reader, writer):
        self.open += 1
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            while await self.serve(reader, writer):
                pass
        self.open -= 1
        writer.close()

    async def serve(self, reader, writer):
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.idle)).decode("latin-1")
        lines = (line.partition(": ") for line in head.split("\r\n")[1:])
        headers = {name.lower(): value for name, _, value in lines}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if head.startswith("GET "):
            writer.write(whole(200, MODELS))
        elif "/oauth/token" in head.split("\r\n")[0]:
            self.refreshes += 1
            if self.issue is None:
                issued = token(self.refreshes)
                answer = {"id_token": issued, "access_token": issued, "refresh_token": f"refresh-{self.refreshes}"}
                writer.write(whole(200, answer))
            else:
                writer.write(self.issue(json.loads(body)))
        else:
            self.asked += 1
            claims = headers["authorization"].split(".")[1]
            if json.loads(base64.urlsafe_b64decode(claims + "=="))["number"] < self.good_from:
                writer.write(whole(401, {"error": {"code": "token_expired", "message": "expired"}}))
            else:
                return await self.obey(json.loads(body), writer)
        await writer.drain()
        return True

    async def obey(self, body, writer):
        """Answers as the question orders. False once the connection cannot be used any more."""
        last = body["input"][-1]["content"]
        order = json.loads(last if isinstance(last, str) else last[-1]["text"])
        fault, who = order["fault"], order["id"]
        if fault == "once-503" and who not in self.tried:
            self.tried.add(who)
            fault = "503"
        status = {
            "429": (429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}, "retry-after: 2\r\n"),
            "500": (500, {"detail": "broken"}, ""),
            "503": (503, {"error": {"code": "server_is_overloaded", "message": "busy"}}, ""),
            "400": (400, {"detail": "Bad thing"}, ""),
            "html": (200, b"<html>no</html>", ""),
        }.get(fault)
        if status:
            writer.write(whole(*status))
            await writer.drain()
            return True
        if fault == "no-head":
            return False
        if fault == "overloaded":
            failed = response("failed", error={"code": "server_is_overloaded", "message": "busy"})
            said = greeting() + event("response.failed", response=failed, sequence_number=2)
            writer.write(STREAM + chunk(said) + b"0\r\n\r\n")
            await writer.drain()
            return True
        if fault == "cut-before":
            writer.write(STREAM + chunk(greeting()))
            await writer.drain()
            return False
        return await self.speak(fault, who, order["words"], writer)

    async def speak(self, fault, who, words, writer):
        size = 40_000 if fault == "large" else 12
        text = [f"{who} "] + [f"{number:0{size}} " for number in range(words)]
        ends = (lambda data: data.replace(b"\n", b"\r\n")) if fault == "crlf" else lambda data: data
        writer.write(STREAM + chunk(ends(opening())))
        for number, word in enumerate(text):
            writer.write(chunk(ends(delta(word, 4 + number))))
            await writer.drain()
            if fault == "slow":
                await asyncio.sleep(0.02)
            if fault in MIDDLE and number == words // 2:
                return await self.break_off(fault, writer, 5 + number)
        writer.write(chunk(ends(closing("".join(text), 4 + len(text)))) + b"0\r\n\r\n")
        await writer.drain()
        return True

    async def break_off(self, fault, writer, number):
        if fault == "reset":
            gone = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, gone)
            writer.transport.abort()
            return False
        if fault == "stall":
            await asyncio.sleep(8)
            return False
        error = {"code": "server_error", "message": "boom"}
        last = {
            "bad-chunk": b"zz\r\n",
            "failed": chunk(event("response.failed", response=response("failed", error=error), sequence_number=number)),
            "error-event": chunk(event("error", **error, param=None, sequence_number=number)),
            "nonsense": chunk(bytes(range(256)) * 8) + b"0\r\n\r\n",
        }
        writer.write(last.get(fault, b""))
        await writer.drain()
        return False
