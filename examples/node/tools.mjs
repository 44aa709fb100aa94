// Lets the model call a function, until it has what it needs to answer.

import OpenAI from 'openai';

const weather = ({ city }) => `22 degrees in ${city}`;

const tools = [{
  type: 'function',
  name: 'weather',
  description: 'Tells the weather in a city.',
  strict: true,
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
}];

const client = new OpenAI();
const model = 'gpt-5.5';
let response = await client.responses.create({ model, input: process.argv[2], tools });
for (;;) {
  const calls = response.output.filter((it) => it.type === 'function_call');
  if (calls.length === 0) break;
  const input = calls.map((it) => (
    { type: 'function_call_output', call_id: it.call_id, output: weather(JSON.parse(it.arguments)) }
  ));
  response = await client.responses.create({ model, previous_response_id: response.id, input, tools });
}
console.log(response.output_text);
