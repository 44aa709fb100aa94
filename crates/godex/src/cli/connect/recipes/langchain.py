from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="@MODEL@", base_url="@URL@", api_key="@KEY@")
print(model.invoke("Say hello.").content)
