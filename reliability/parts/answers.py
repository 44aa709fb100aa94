"""Reads answers from the wire and says what is wrong with them."""

import asyncio
import json

ERROR = {"message", "type", "param", "code"}


class Wrong(Exception):
    """An answer that is not as it must be."""


class Answer:
    def __init__(self, head):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        pairs = (line.partition(": ") for line in lines if line)
        self.headers = {name.lower(): value for name, _, value in pairs}
        self.body, self.whole = b"", False

    @property
    def request_id(self):
        return self.headers.get("x-request-id")

    def error(self):
        """The error of a body, or of the end of a stream; it has the one form they all have."""
        return proper(json.loads(self.body)["error"])


def proper(error):
    if not ERROR <= set(error) <= ERROR | {"resets_at", "details"} or not error["message"]:
        raise Wrong(f"an error of another form: {error}")
    return error


async def head(reader):
    return Answer(await reader.readuntil(b"\r\n\r\n"))


async def rest(answer, reader, pace=None):
    """Reads the body, with a pause between two pieces if there is a `pace`."""
    if "content-length" in answer.headers:
        answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        answer.whole = True
        return answer
    pieces = []
    while True:
        size = await reader.readline()
        if not size:
            break
        piece = await reader.readexactly(int(size, 16) + 2)
        if piece == b"\r\n":
            answer.whole = True
            break
        pieces.append(piece[:-2])
        if pace:
            await asyncio.sleep(pace)
    answer.body = b"".join(pieces)
    return answer


def events(answer):
    """The events of a stream as JSON, each in one piece; `[DONE]` as that text."""
    if not answer.whole:
        raise Wrong("a stream without its end")
    if not answer.body.endswith(b"\n\n"):
        raise Wrong("a stream whose last event is not whole")
    for frame in answer.body.decode().split("\n\n")[:-1]:
        data = [line[6:] for line in frame.split("\n") if line.startswith("data: ")]
        if len(data) == 1:
            yield data[0] if data[0] == "[DONE]" else json.loads(data[0])
        elif data or not frame.startswith(":"):
            raise Wrong(f"a frame that is no event: {frame[:80]!r}")


def responses_stream(answer):
    """The text of a stream on /v1/responses, or the error that ends it."""
    seen = list(events(answer))
    numbers = [it["sequence_number"] for it in seen]
    if numbers != list(range(len(seen))):
        raise Wrong(f"numbers of events: {numbers[:20]}")
    last = seen[-1]
    if last["type"] == "response.completed":
        text = "".join(it["delta"] for it in seen if it["type"] == "response.output_text.delta")
        if last["response"]["output"][0]["content"][0]["text"] != text:
            raise Wrong("the last event tells another text than the deltas")
        return text, None
    if last["type"] != "error" or seen[-2]["type"] != "response.failed":
        raise Wrong(f"a stream that ends with {last['type']}")
    return None, proper(last["error"])


def chat_stream(answer):
    """The same on /v1/chat/completions."""
    *seen, done = events(answer)
    if done != "[DONE]":
        raise Wrong("a chat stream without [DONE]")
    error = seen[-1].get("error")
    finished = [choice["finish_reason"] for it in seen for choice in it.get("choices", ()) if choice["finish_reason"]]
    if error:
        if finished:
            raise Wrong("an error after the answer was finished")
        return None, proper(error)
    if finished != ["stop"]:
        raise Wrong(f"finish reasons: {finished}")
    return "".join(choice["delta"].get("content") or "" for it in seen for choice in it["choices"]), None


def in_one_piece(answer, chat):
    body = json.loads(answer.body)
    if chat:
        choice = body["choices"][0]
        if choice["finish_reason"] != "stop":
            raise Wrong(f"finish reason {choice['finish_reason']}")
        return choice["message"]["content"]
    if body["object"] != "response" or body["status"] != "completed":
        raise Wrong(f"a response that is {body['status']}")
    return body["output"][0]["content"][0]["text"]
