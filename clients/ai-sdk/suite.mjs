// The Vercel AI SDK, unmodified, with its OpenAI provider: the Responses API in its default mode,
// which replays earlier items by reference, and Chat Completions.

import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, generateObject, generateText, isStepCount, Output, streamObject, streamText, tool } from 'ai';
import { z } from 'zod';

const { GODEX_BASE_URL: baseURL, GODEX_API_KEY: apiKey, GODEX_MOCK_URL: mock } = process.env;
const name = 'gpt-5.5';
const provider = (key = apiKey) => createOpenAI({ baseURL, apiKey: key });
const openai = provider();
const models = { responses: openai(name), chat: openai.chat(name) };

const asked = [];
const tools = {
  get_weather: tool({
    description: 'Tells the weather in a city.', inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => { asked.push('get_weather'); return `22 degrees in ${city}`; },
  }),
  get_time: tool({
    description: 'Tells the time in a city.', inputSchema: z.object({ city: z.string(), zone: z.string() }),
    execute: ({ city, zone }) => { asked.push('get_time'); return { time: `noon in ${city}, ${zone}` }; },
  }),
};
const weather = 'get_weather {"city":"São Tomé"}';
const time = 'get_time {"city":"Oslo","zone":"CET"}';
const oneByOne = `Ask one by one. [[mock: tool ${weather}]] [[mock: tool ${time}]]`;
const both = `Ask both. [[mock: tools ${weather} ${time}]]`;
const party = z.object({ name: z.string(), day: z.number(), guests: z.array(z.string()) });
const broken = ['fail server_error', 'error-event', 'cut', 'drop'].map((it) => `[[mock: ${it}]]`);
const loop = { tools, stopWhen: isStepCount(5), maxRetries: 0 };

function quotesTheTools(text) {
  assert.match(text, /22 degrees in São Tomé/);
  assert.match(text, /noon in Oslo, CET/);
}

async function upstream() {
  const kept = await (await fetch(`${mock}/__mock/requests`)).json();
  return kept.filter((it) => it.method === 'POST' && it.path.endsWith('/responses')).map((it) => it.body);
}

async function fails(status, call) {
  await assert.rejects(call, (error) => {
    assert(APICallError.isInstance(error), `${error?.name}: ${error?.message}`);
    assert.equal(error.statusCode, status);
    return true;
  });
}

/** The text and the errors of a stream, which the SDK hands over as a part. */
async function read(options) {
  const errors = [];
  const result = streamText({ maxRetries: 0, ...options, onError: ({ error }) => errors.push(error) });
  const parts = [];
  for await (const part of result.fullStream) parts.push(part);
  return { result, errors, parts };
}

const cases = {
  async 'generateText, with usage'(model) {
    const { text, usage, finishReason } = await generateText({ model, prompt: '[[mock: echo Grüß Gott 😀]]' });
    assert.equal(text, 'Grüß Gott 😀');
    assert.equal(finishReason, 'stop');
    assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
  },
  async 'generateText with instructions, settings and a picture'(model) {
    const { text } = await generateText({
      model, instructions: 'Be brief.', temperature: 0.5, maxOutputTokens: 99, seed: 7,
      messages: [{ role: 'user', content: [
        { type: 'text', text: 'Look. [[mock: echo seen]]' },
        { type: 'file', data: new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]), mediaType: 'image/png' },
      ] }],
    });
    assert.equal(text, 'seen');
  },
  async streamText(model) {
    const { parts, errors, result } = await read({ model, prompt: '[[mock: echo one two three]]' });
    assert.deepEqual(errors, []);
    assert.equal(parts.filter((it) => it.type === 'text-delta').map((it) => it.text).join(''), 'one two three');
    assert((await result.totalUsage).totalTokens > 0);
  },
  async 'generateText: two tools one after another, their outputs in the answer'(model) {
    asked.length = 0;
    const { text, steps } = await generateText({ model, prompt: oneByOne, ...loop });
    assert.deepEqual(asked, ['get_weather', 'get_time']);
    assert.equal(steps.length, 3);
    quotesTheTools(text);
  },
  async 'streamText: two tools one after another, their outputs in the answer'(model) {
    const { result, errors } = await read({ model, prompt: oneByOne, ...loop });
    assert.deepEqual(errors, []);
    assert.equal((await result.steps).length, 3);
    quotesTheTools(await result.text);
  },
  async 'streamText: two tools in parallel, their outputs in the answer'(model) {
    const { result, errors } = await read({ model, prompt: both, ...loop });
    assert.deepEqual(errors, []);
    assert.equal((await result.steps)[0].toolCalls.length, 2);
    quotesTheTools(await result.text);
  },
  async 'generateText: a loop with reasoning'(model) {
    const { text } = await generateText({
      model, prompt: `[[mock: reasoning]] ${oneByOne}`, ...loop,
      providerOptions: { openai: { reasoningEffort: 'low', reasoningSummary: 'auto' } },
    });
    quotesTheTools(text);
  },
  async 'a second turn over the first one\'s messages'(model) {
    const first = await generateText({ model, prompt: both, ...loop });
    const messages = [{ role: 'user', content: both }, ...first.response.messages];
    const { text } = await generateText({ model, messages: [...messages, { role: 'user', content: '[[mock: echo again]]' }], ...loop });
    assert.equal(text, 'again');
  },
  async generateObject(model) {
    party.parse((await generateObject({ model, schema: party, prompt: 'A party.' })).object);
  },
  async streamObject(model) {
    const result = streamObject({ model, schema: party, prompt: 'A party.' });
    for await (const _ of result.partialObjectStream);
    party.parse(await result.object);
  },
  async 'generateText: tools, then an object that holds what they said'(model) {
    const words = z.object({ words: z.string() });
    const { output } = await generateText({ model, prompt: both, ...loop, output: Output.object({ schema: words }) });
    quotesTheTools(output.words);
  },
  async 'a demanded tool'(model) {
    const { toolCalls } = await generateText({ model, prompt: 'Go.', tools: { get_time: { ...tools.get_time, execute: undefined } }, toolChoice: { type: 'tool', toolName: 'get_time' } });
    assert.deepEqual(toolCalls.map((it) => it.toolName), ['get_time']);
  },
  async 'a wrong key is an APICallError with 401'(_, kind) {
    const stranger = provider('wrong-key');
    const model = kind === 'chat' ? stranger.chat(name) : stranger(name);
    await fails(401, generateText({ model, prompt: 'Hi', maxRetries: 0 }));
  },
  async 'a rate limit is an APICallError with 429'(model) {
    await fails(429, generateText({ model, prompt: '[[mock: status 429 rate-limit]]', maxRetries: 0 }));
  },
  async 'a failure in mid-stream is an error'(model) {
    for (const prompt of broken) {
      const { errors, parts } = await read({ model, prompt });
      assert(errors.length > 0, `no error after ${prompt}: ${parts.map((it) => it.type)}`);
    }
  },
};

const alone = {
  async 'responses: the default mode replays items by reference, and they arrive whole'() {
    const before = (await upstream()).length;
    quotesTheTools((await generateText({ model: models.responses, prompt: oneByOne, ...loop })).text);
    const sent = (await upstream()).slice(before).at(-1).input;
    const calls = sent.filter((it) => it.type === 'function_call').map((it) => it.name);
    assert.deepEqual(calls, ['get_weather', 'get_time']);
    assert(!sent.some((it) => it.type === 'item_reference'));
  },
  async 'responses: turns chained by previousResponseId'() {
    const model = models.responses;
    const first = await generateText({ model, prompt: 'Remember the word quince. [[mock: echo fine]]' });
    const before = (await upstream()).length;
    const { text } = await generateText({
      model, prompt: '[[mock: echo again]]',
      providerOptions: { openai: { previousResponseId: first.finalStep.providerMetadata.openai.responseId } },
    });
    assert.equal(text, 'again');
    assert.match(JSON.stringify((await upstream()).slice(before)[0].input), /quince/);
  },
  async 'responses: store false replays whole items'() {
    const { text } = await generateText({ model: models.responses, prompt: oneByOne, ...loop, providerOptions: { openai: { store: false } } });
    quotesTheTools(text);
  },
};

async function run(title, body) {
  try {
    await body();
    console.log(`PASS ${title}`);
  } catch (error) {
    console.log(`FAIL ${title}: ${`${error?.name}: ${error?.message}`.replace(/\s+/g, ' ').slice(0, 600)}`);
  }
}

globalThis.AI_SDK_LOG_WARNINGS = false;
for (const [kind, model] of Object.entries(models)) {
  for (const [title, body] of Object.entries(cases)) await run(`${kind}: ${title}`, () => body(model, kind));
}
for (const [title, body] of Object.entries(alone)) await run(title, body);
