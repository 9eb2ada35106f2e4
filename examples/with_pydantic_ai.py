# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic-ai-slim[mcp]==2.68.0"]
# ///
"""A Pydantic AI agent. Its scripted model takes a real model's place: give `Agent` a name such as "openai:gpt-5"."""

import asyncio
import json
from typing import Any

from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted import TASK, next_call, summary


async def ask(message: str, response_type: Any, params: Any, context: Any) -> Any:
    """Show the server's question, and answer what the person says."""
    answer = await asyncio.to_thread(input, f"\n{message}\nYes? [y/N] ")
    return {"confirm": True} if answer == "y" else ElicitResult(action="decline")


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer as a model would."""
    parts = [part for message in messages for part in message.parts]
    contents = [part.content for part in parts if isinstance(part, ToolReturnPart | RetryPromptPart)]
    answers = [json.loads(content) if isinstance(content, str) else content for content in contents]
    if call := next_call(answers):
        print(f"\n→ {call[0]}")
        return ModelResponse([ToolCallPart(*call)])
    return ModelResponse([TextPart(summary(answers))])


async def main() -> None:
    """Do the main job."""
    amocrm = MCPToolset(StdioTransport("amo-mcp", ["serve", "--sandbox"]), elicitation_handler=ask)
    agent = Agent(FunctionModel(script), toolsets=[amocrm])
    print((await agent.run(TASK)).output)


asyncio.run(main())
