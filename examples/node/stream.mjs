// Prints an answer as it comes.

import OpenAI from 'openai';

const client = new OpenAI();
const stream = client.responses.stream({ model: 'gpt-5.5', input: process.argv[2] });
for await (const event of stream) {
  if (event.type === 'response.output_text.delta') process.stdout.write(event.delta);
}
const { usage } = await stream.finalResponse();
console.error(`\n${usage.total_tokens} tokens, ${usage.input_tokens_details.cached_tokens} of them from the cache`);
