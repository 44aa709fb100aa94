// openai-node, unmodified: the core of both APIs. It reads streams more strictly than openai-python.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const { GODEX_BASE_URL: baseURL, GODEX_SPENT_URL: spentURL, GODEX_API_KEY: apiKey, GODEX_MOCK_URL: mock, GODEX_REPOSITORY } = process.env;
const repository = new URL(`file://${GODEX_REPOSITORY}/`);
const model = 'gpt-5.5';
const connect = (key = apiKey, more = {}) => new OpenAI({ baseURL, apiKey: key, maxRetries: 0, timeout: 30_000, ...more });
const client = connect();

const Event = z.object({ name: z.string(), day: z.number(), guests: z.array(z.string()) });
const tool = (name, ...fields) => ({
  type: 'function', name, description: `The ${name} tool.`, strict: true,
  parameters: {
    type: 'object', properties: Object.fromEntries(fields.map((it) => [it, { type: 'string' }])),
    required: fields, additionalProperties: false,
  },
});
const tools = [tool('get_weather', 'city'), tool('get_time', 'city', 'zone')];
const chatTools = tools.map(({ type, ...definition }) => ({ type, function: definition }));
const expectedCalls = [['get_weather', { city: 'São Tomé' }], ['get_time', { city: 'Oslo', zone: 'CET' }]];
const twoCalls = `Ask both. [[mock: tools ${expectedCalls.map(([name, it]) => `${name} ${JSON.stringify(it)}`).join(' ')}]]`;
const user = (content) => [{ role: 'user', content }];

async function collect(stream) {
  const all = [];
  for await (const it of stream) all.push(it);
  return all;
}

const cases = {
  async 'responses.create'() {
    const answer = await client.responses.create({ model, input: '[[mock: echo Grüß Gott 😀]]' });
    assert.equal(answer.output_text, 'Grüß Gott 😀');
    assert.equal(answer.model, model);
    assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
  },
  async 'responses.stream: final response has the text'() {
    const stream = client.responses.stream({ model, input: '[[mock: echo one two three]]' });
    const events = await collect(stream);
    const final = await stream.finalResponse();
    assert.equal(final.output_text, 'one two three');
    assert.equal(events.at(-1).type, 'response.completed');
    assert.deepEqual(events.map((it) => it.sequence_number), events.map((_, n) => n));
  },
  async 'responses.parse with zod'() {
    const answer = await client.responses.parse({ model, input: 'A party.', text: { format: zodTextFormat(Event, 'event') } });
    Event.parse(answer.output_parsed);
  },
  async 'responses.stream: two parallel calls and their round trip'() {
    const stream = client.responses.stream({ model, input: twoCalls, tools });
    await collect(stream);
    const { output } = await stream.finalResponse();
    const calls = output.filter((it) => it.type === 'function_call');
    assert.deepEqual(calls.map((it) => [it.name, JSON.parse(it.arguments)]), expectedCalls);
    const outputs = calls.map((it, n) => ({ type: 'function_call_output', call_id: it.call_id, output: `result ${n}` }));
    const final = await client.responses.create({ model, tools, input: [...user(twoCalls), ...output, ...outputs] });
    assert.match(final.output_text, /result 0[^]*result 1/);
    const alone = await client.responses.create({ model, tools, input: outputs });
    assert.match(alone.output_text, /result 0[^]*result 1/);
  },
  async 'responses: reasoning with a summary streams'() {
    const stream = client.responses.stream({ model, input: '[[mock: reasoning]] [[mock: echo done]]', reasoning: { effort: 'low', summary: 'auto' } });
    const types = (await collect(stream)).map((it) => it.type);
    assert(types.includes('response.reasoning_summary_text.delta'), types.join(' '));
    assert.equal((await stream.finalResponse()).output_text, 'done');
  },
  async 'responses: unknown events of the backend do no harm'() {
    const stream = client.responses.stream({ model, input: '[[mock: unknown-events]] [[mock: echo done]]' });
    await collect(stream);
    assert.equal((await stream.finalResponse()).output_text, 'done');
  },
  async 'responses: refused parameters are dropped and named'() {
    const { data, response } = await client.responses.create({
      model, input: '[[mock: echo fine]]', temperature: 0, top_p: 0.5, max_output_tokens: 99,
      metadata: { run: '7' }, user: 'user-7', truncation: 'auto', safety_identifier: 'si-7',
    }).withResponse();
    assert.equal(data.output_text, 'fine');
    const dropped = (response.headers.get('x-godex-dropped') ?? '').split(',').map((it) => it.trim());
    for (const name of ['temperature', 'top_p', 'max_output_tokens', 'metadata', 'user', 'truncation', 'safety_identifier']) {
      assert(dropped.includes(name), `${name} is not in ${dropped}`);
    }
  },
  async 'chat.completions.create'() {
    const { choices: [choice], usage, object } = await client.chat.completions.create({ model, messages: user('[[mock: echo Grüß Gott 😀]]') });
    assert.equal(choice.message.content, 'Grüß Gott 😀');
    assert.equal(choice.finish_reason, 'stop');
    assert.equal(object, 'chat.completion');
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  },
  async 'chat.completions.stream with include_usage'() {
    const stream = client.chat.completions.stream({ model, messages: user('[[mock: echo one two three]]'), stream_options: { include_usage: true } });
    await collect(stream);
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, 'one two three');
    assert(final.usage.total_tokens > 0);
  },
  async 'chat.completions.parse with zod'() {
    const answer = await client.chat.completions.parse({ model, messages: user('A party.'), response_format: zodResponseFormat(Event, 'event') });
    Event.parse(answer.choices[0].message.parsed);
  },
  async 'chat stream: two parallel calls'() {
    const stream = client.chat.completions.stream({ model, messages: user(twoCalls), tools: chatTools });
    await collect(stream);
    const { choices: [choice] } = await stream.finalChatCompletion();
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.deepEqual(choice.message.tool_calls.map((it) => [it.function.name, JSON.parse(it.function.arguments)]), expectedCalls);
  },
  async 'chat.completions.runTools: the loop of the SDK ends with the outputs'() {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model, messages: user(twoCalls),
      tools: chatTools.map((it) => ({
        ...it,
        function: {
          name: it.function.name, description: it.function.description, parameters: it.function.parameters,
          parse: JSON.parse, function: (args) => { asked.push([it.function.name, args]); return `${it.function.name} says 22`; },
        },
      })),
    });
    const text = await runner.finalContent();
    assert.deepEqual(asked, expectedCalls);
    assert.match(text, /get_weather says 22[^]*get_time says 22/);
  },
  async 'a wrong key is an AuthenticationError'() {
    await assert.rejects(connect('wrong-key').responses.create({ model, input: 'Hi' }), OpenAI.AuthenticationError);
    await assert.rejects(connect('wrong-key').chat.completions.create({ model, messages: user('Hi') }), OpenAI.AuthenticationError);
  },
  async 'an unknown model is a NotFoundError'() {
    await assert.rejects(client.responses.create({ model: 'no-such-model', input: 'Hi' }), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create({ model: 'no-such-model', messages: user('Hi') }), OpenAI.NotFoundError);
  },
  async 'a failure in mid-stream is an APIError on both APIs'() {
    for (const marker of ['fail server_error', 'error-event', 'cut', 'drop']) {
      const prompt = `[[mock: ${marker}]]`;
      await assert.rejects(async () => collect(await client.responses.create({ model, input: prompt, stream: true })), OpenAI.APIError, `responses ${marker}`);
      await assert.rejects(async () => collect(await client.chat.completions.create({ model, messages: user(prompt), stream: true })), OpenAI.APIError, `chat ${marker}`);
    }
  },
  async 'overload inside a 200 is a retryable status'() {
    const prompt = '[[mock: fail-first server_is_overloaded]]';
    const retryable = (error) => error instanceof OpenAI.InternalServerError || error instanceof OpenAI.RateLimitError;
    await assert.rejects(client.responses.create({ model, input: prompt }), retryable);
    await assert.rejects(client.chat.completions.create({ model, messages: user(prompt), stream: true }), retryable);
  },
  async 'responses: three turns chained by previous_response_id, items by reference'() {
    const first = await client.responses.create({ model, tools, input: twoCalls });
    const calls = first.output.filter((it) => it.type === 'function_call');
    const outputs = calls.map((it, n) => ({ type: 'function_call_output', call_id: it.call_id, output: `result ${n}` }));
    const second = await client.responses.create({ model, tools, previous_response_id: first.id, input: outputs });
    assert.match(second.output_text, /result 0[^]*result 1/);
    const third = await client.responses.create({ model, tools, previous_response_id: second.id, input: '[[mock: echo third]]' });
    assert.equal(third.output_text, 'third');
    assert.equal(third.previous_response_id, second.id);
    const references = calls.map((it) => ({ type: 'item_reference', id: it.id }));
    const again = await client.responses.create({ model, tools, input: [...user(twoCalls), ...references, ...outputs] });
    assert.match(again.output_text, /result 0[^]*result 1/);
    await assert.rejects(client.responses.create({ model, previous_response_id: 'resp_unknown', input: 'Hi' }), { code: 'previous_response_not_found' });
  },
  async 'chat stream: a custom tool call'() {
    const parts = [];
    const custom = { type: 'custom', custom: { name: 'apply_patch', description: 'Edits files.' } };
    const stream = await client.chat.completions.create({ model, tools: [custom], messages: user('[[mock: custom apply_patch a b c]]'), stream: true });
    for (const { choices: [choice] } of await collect(stream)) parts.push(...(choice.delta.tool_calls ?? []));
    assert.equal(parts[0].type, 'custom');
    assert.equal(parts.map((it) => it.custom.input).join(''), 'a b c');
  },
  async 'E1: comments, unknown fields, reasoning and odd framing do chat no harm'() {
    const prompt = '[[mock: unknown-events]] [[mock: crlf]] [[mock: reasoning]] [[mock: echo done]]';
    const stream = client.chat.completions.stream({ model, messages: user(prompt) });
    await collect(stream);
    assert.equal(await stream.finalContent(), 'done');
  },
  async 'E3: the signs of life of a silent stream do no harm'() {
    const prompt = '[[mock: slow 16000]] [[mock: echo awake]]';
    const [responses, chat] = await Promise.all([
      client.responses.stream({ model, input: prompt }).finalResponse(),
      client.chat.completions.stream({ model, messages: user(prompt) }).finalContent(),
    ]);
    assert.deepEqual([responses.output_text, chat], ['awake', 'awake']);
  },
  async 'E6: a short limit is waited for, a long one ends the retries'() {
    const patient = connect(apiKey, { maxRetries: 2 });
    const input = 'E6 of Node. [[mock: once status 429 rate-limit]] [[mock: echo served]]';
    assert.equal((await patient.responses.create({ model, input })).output_text, 'served');
    const before = Date.now();
    const spent = connect(apiKey, { maxRetries: 2, baseURL: spentURL });
    await assert.rejects(spent.responses.create({ model, input: '[[mock: status 429 usage-limit]]' }), OpenAI.RateLimitError);
    assert(Date.now() - before < 5_000);
  },
  async 'E7, E8, E10: the stream helpers raise what broke in mid-stream'() {
    for (const marker of ['fail server_error', 'error-event', 'cut', 'drop']) {
      const prompt = `[[mock: ${marker}]]`;
      await assert.rejects(client.responses.stream({ model, input: prompt }).finalResponse(), OpenAI.APIError, `responses ${marker}`);
      await assert.rejects(client.chat.completions.stream({ model, messages: user(prompt) }).finalContent(), OpenAI.APIError, `chat ${marker}`);
    }
  },
  async 'models.list and models.retrieve'() {
    const ids = (await collect(client.models.list())).map((it) => it.id);
    assert(ids.includes(model), ids.join(' '));
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async 'a stale login is renewed without the client noticing'() {
    assert((await fetch(`${mock}/__mock/expire-tokens`, { method: 'POST' })).ok);
    const stream = client.responses.stream({ model, input: '[[mock: echo renewed]]' });
    assert.equal((await stream.finalResponse()).output_text, 'renewed');
  },
  async 'the examples run as they stand'() {
    const example = (name) => new URL(`examples/node/${name}`, repository);
    const env = { ...process.env, OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey };
    const ran = (name, prompt) => {
      copyFileSync(example(name), new URL(name, import.meta.url));
      return execFileSync(process.execPath, [name, prompt], { cwd: new URL('.', import.meta.url), env, stdio: 'pipe', encoding: 'utf8' });
    };
    const typed = readFileSync(example('README.md'), 'utf8').matchAll(/^\$ node (\S+) (?:'(.*)'|"(.*)")$/gm);
    const [streamed, told] = [...typed].map(([, name, quoted, prompt]) => ran(name, quoted ?? prompt));
    assert.equal(streamed, 'Mock answer to: Say hello.');
    assert.match(told, /22 degrees in Rome/);
  },
  async 'what `godex connect node` prints runs as it stands'() {
    const program = execFileSync(process.env.GODEX_BIN, ['connect', 'node', '--url', baseURL, '--key', apiKey], { stdio: 'pipe' });
    writeFileSync(new URL('connected.mjs', import.meta.url), program);
    const answer = execFileSync(process.execPath, ['connected.mjs'], { cwd: new URL('.', import.meta.url), encoding: 'utf8' });
    assert.equal(answer, 'Mock answer to: Say hello.\n');
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`PASS ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${`${error?.name}: ${error?.message}`.replace(/\s+/g, ' ').slice(0, 600)}`);
  }
}
