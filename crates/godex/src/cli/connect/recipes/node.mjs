import OpenAI from "openai";

const client = new OpenAI({ baseURL: "@URL@", apiKey: "@KEY@" });
const response = await client.responses.create({ model: "@MODEL@", input: "Say hello." });
console.log(response.output_text);
