from openai import OpenAI

client = OpenAI(base_url="@URL@", api_key="@KEY@")
response = client.responses.create(model="@MODEL@", input="Say hello.")
print(response.output_text)
