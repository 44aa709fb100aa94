"""LangChain, unmodified: the standard integration tests of `langchain-tests`, over both APIs.

The tests run as they are published. Two of them fetch a picture and a PDF from the web: here the
suite hands them bytes of its own, and `pytest-socket` keeps every other address out of reach.
"""

import os
import pathlib
import sys
import types

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.integration_tests import chat_models as standard

from connected import GODEX, Example
from headless import BASE_URL, KEY

MODEL = "gpt-5.5"
OTHER_MODEL = "gpt-5.6-sol"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
PDF = b"%PDF-1.4\n%%EOF\n"

# The tests that are not for this server; any other skip fails the run.
SKIPPED = {
    "test_audio_inputs": "the backend takes no audio (docs/wire.md)",
    "test_anthropic_inputs": "content blocks of another vendor, which ChatOpenAI does not claim",
    "test_pdf_tool_message": "the backend takes text and pictures in a tool's output, no files (docs/wire.md)",
    "test_stream_time": "a benchmark of recorded cassettes, not a statement about the server",
}


def local(url, **_):
    return types.SimpleNamespace(content=PDF if url.endswith(".pdf") else PNG)


standard.httpx = types.SimpleNamespace(get=local)


def parameters(responses, **more):
    return {"model": MODEL, "base_url": os.environ["GODEX_BASE_URL"],
            "api_key": os.environ["GODEX_API_KEY"], "max_retries": 0, "timeout": 30,
            "use_responses_api": responses, "stream_usage": True, **more}


class Standard(ChatModelIntegrationTests):
    """What holds for both APIs."""

    responses = False

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return parameters(self.responses)

    @property
    def supports_image_inputs(self):
        return True

    @property
    def supports_image_urls(self):
        return True

    @property
    def supports_pdf_inputs(self):
        return True

    @property
    def supports_image_tool_message(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return OTHER_MODEL


class TestChat(Standard):
    """POST /v1/chat/completions."""


class TestResponses(Standard):
    """POST /v1/responses."""

    responses = True


@tool
def get_weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"22 degrees in {city}"


@tool
def get_time(city: str) -> str:
    """Tells the time in a city."""
    return f"noon in {city}"


TOOLS = {it.name: it for it in (get_weather, get_time)}


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
class TestAround:
    """What the standard tests do not ask: whole loops with their words, and errors."""

    def test_two_tools_and_their_outputs_in_the_answer(self, responses):
        model = ChatOpenAI(**parameters(responses)).bind_tools([get_weather, get_time])
        history = [HumanMessage('[[mock: tools get_weather {"city":"São Tomé"} get_time {"city":"Oslo"}]]')]
        called = model.invoke(history)
        outputs = [TOOLS[it["name"]].invoke(it) for it in called.tool_calls]
        assert all(isinstance(it, ToolMessage) for it in outputs)
        answer = model.invoke([*history, called, *outputs]).text
        assert "22 degrees in São Tomé" in answer and "noon in Oslo" in answer, answer

    def test_a_streamed_loop_of_two_turns(self, responses):
        # One call a turn: ChatOpenAI mixes up parallel calls whose arguments arrive interleaved on
        # /v1/responses, which are passed on as they come.
        model = ChatOpenAI(**parameters(responses)).bind_tools([get_weather, get_time])
        history = [HumanMessage('[[mock: tool get_weather {"city":"São Tomé"}]] [[mock: tool get_time {"city":"Oslo"}]]')]
        for name, arguments in (("get_weather", {"city": "São Tomé"}), ("get_time", {"city": "Oslo"}), (None, None)):
            whole = None
            for chunk in model.stream(history):
                whole = chunk if whole is None else whole + chunk
            history.append(whole)
            for call in whole.tool_calls:
                assert (call["name"], call["args"]) == (name, arguments)
                history.append(TOOLS[name].invoke(call))
        assert "22 degrees in São Tomé" in whole.text and "noon in Oslo" in whole.text, whole.text

    @pytest.mark.parametrize("version", ["v0", "responses/v1", "v1"])
    def test_a_loop_with_reasoning(self, responses, version):
        more = {"reasoning": {"effort": "low", "summary": "auto"}} if responses else {"reasoning_effort": "low"}
        model = ChatOpenAI(**parameters(responses, output_version=version, **more)).bind_tools([get_weather])
        history = [HumanMessage('[[mock: reasoning]] [[mock: tool get_weather {"city":"São Tomé"}]]')]
        called = model.invoke(history)
        answer = model.invoke([*history, called, *(get_weather.invoke(it) for it in called.tool_calls)])
        assert "22 degrees in São Tomé" in answer.text, answer

    def test_turns_chained_by_previous_response_id(self, responses):
        model = ChatOpenAI(**parameters(responses, use_previous_response_id=responses)).bind_tools([get_weather])
        history = [HumanMessage('[[mock: tool get_weather {"city":"São Tomé"}]]')]
        called = model.invoke(history)
        answer = model.invoke([*history, called, *(get_weather.invoke(it) for it in called.tool_calls)])
        assert "22 degrees in São Tomé" in answer.text, answer

    def test_a_wrong_key_is_an_authentication_error(self, responses):
        model = ChatOpenAI(**parameters(responses, api_key="wrong-key"))
        with pytest.raises(openai.AuthenticationError):
            model.invoke("Hi")

    def test_a_rate_limit_is_a_rate_limit_error(self, responses):
        with pytest.raises(openai.RateLimitError):
            ChatOpenAI(**parameters(responses)).invoke("[[mock: status 429 rate-limit]]")

    @pytest.mark.parametrize("failure", ["fail server_error", "error-event", "cut", "drop"])
    def test_a_failure_in_mid_stream_is_an_error(self, responses, failure):
        # LangChain itself turns `response.failed` into a ValueError.
        with pytest.raises((openai.APIError, ValueError)):
            list(ChatOpenAI(**parameters(responses)).stream(f"[[mock: {failure}]]"))


class TestConnect:
    """What people begin with."""

    def test_the_example_runs_as_it_stands_over_both_apis(self):
        with Example("langchain") as home:
            chat, responses = home.follow()
        assert "22 degrees in Rome" in chat
        assert "22 degrees in Oslo" in responses

    def test_what_godex_connect_langchain_prints_runs_as_it_stands(self):
        with Example("langchain") as home:
            program = home.run(GODEX, "connect", "langchain", "--url", BASE_URL, "--key", KEY)
            assert home.run(sys.executable, "-c", program) == "Mock answer to: Say hello.\n"


class Lines:
    """Prints a line per test in the form that `clients/run` counts."""

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("::", 1)[-1].replace("::", " ")
        if report.skipped and report.when != "teardown":
            self.skipped(name, report)
        elif report.failed:
            text = " ".join(str(report.longrepr).split())
            print(f"FAIL {name}: ...{text[-600:]}", flush=True)
        elif report.when == "call":
            print(f"PASS {name}", flush=True)

    def skipped(self, name, report):
        test = name.split(" ")[-1].split("[")[0]
        if test in SKIPPED:
            print(f"SKIP {name}: {SKIPPED[test]}", flush=True)
        else:
            print(f"FAIL {name}: skipped: {report.longrepr}", flush=True)


def main():
    here = pathlib.Path(__file__)
    os.chdir(os.environ["HOME"])
    return pytest.main([
        str(here), f"--rootdir={here.parent}", "-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session", "-o", "python_classes=Test*",
        "-p", "no:cacheprovider", "-p", "no:terminalreporter", "-p", "no:terminal", "-W", "ignore",
        "--disable-socket", "--allow-hosts=127.0.0.1", "--allow-unix-socket", "--benchmark-disable",
    ], plugins=[Lines()])


if __name__ == "__main__":
    raise SystemExit(main() > 1)
