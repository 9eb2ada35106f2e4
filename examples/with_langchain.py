# /// script
# requires-python = ">=3.11"
# dependencies = ["langchain==1.5.2", "langchain-mcp-adapters==0.3.2"]
# ///
"""A LangChain agent. Its scripted model takes a real model's place: give `create_agent` a name such as "gpt-5"."""

import asyncio
import json
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_mcp_adapters.callbacks import CallbackContext, Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp.types import ElicitRequestParams, ElicitResult
from scripted import TASK, next_call, summary


async def ask(request: Any, params: ElicitRequestParams, context: CallbackContext) -> ElicitResult:
    """Show the server's question, and answer what the person says."""
    answer = await asyncio.to_thread(input, f"\n{params.message}\nYes? [y/N] ")
    return ElicitResult(action="accept", content={"confirm": answer == "y"})


class Scripted(BaseChatModel):
    """Answers as a model would."""

    _llm_type = "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> "Scripted":
        """The script knows its tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        answers = [json.loads(message.text) for message in messages if isinstance(message, ToolMessage)]
        if call := next_call(answers):
            print(f"\n→ {call[0]}")
            called = {"name": call[0], "args": call[1], "id": str(len(answers))}
            answer = AIMessage("", tool_calls=[called])
        else:
            answer = AIMessage(summary(answers))
        return ChatResult(generations=[ChatGeneration(message=answer)])


async def main() -> None:
    """Do the main job."""
    amocrm = {"transport": "stdio", "command": "amo-mcp", "args": ["serve", "--sandbox"]}
    client = MultiServerMCPClient({"amocrm": amocrm}, callbacks=Callbacks(on_elicitation=ask))
    # One session for the whole task: a plan belongs to the client that made it.
    async with client.session("amocrm") as session:
        agent = create_agent(Scripted(), await load_mcp_tools(session))
        result = await agent.ainvoke({"messages": [("user", TASK)]})
        print(result["messages"][-1].text)


asyncio.run(main())
