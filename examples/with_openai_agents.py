# /// script
# requires-python = ">=3.11"
# dependencies = ["openai-agents==0.24.0"]
# ///
"""An agent of the OpenAI Agents SDK. Its scripted model takes a real model's place: leave out `model`, set a key.

The SDK has no dialogs, so the server is started with `--confirm chat`. The person is asked by the program, before
`confirm_change` runs, and not by the model: `require_approval` stops the run there.
"""

import asyncio
import json
from typing import Any

from agents import Agent, Runner, set_tracing_disabled
from agents.mcp import MCPServerStdio
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from scripted import TASK, next_call, summary


def answers_in(items: list[Any]) -> list[dict[str, Any]]:
    """What the tools have answered, from the items of a conversation."""
    outputs = [item["output"] for item in items if item.get("type") == "function_call_output"]
    return [json.loads(output if isinstance(output, str) else output[0]["text"]) for output in outputs]


def script(call: ModelCall) -> list[Any]:
    """Answer as a model would."""
    answers = answers_in(call.input)
    if wanted := next_call(answers):
        print(f"\n→ {wanted[0]}")
        return [function_call(*wanted, call_id=str(len(answers)))]
    return [assistant_message(summary(answers))]


async def main() -> None:
    """Do the main job."""
    async with MCPServerStdio(
        {"command": "amo-mcp", "args": ["serve", "--sandbox", "--confirm", "chat"]},
        require_approval={"always": {"tool_names": ["confirm_change"]}},
    ) as amocrm:
        agent = Agent("Tidy", model=ScriptedModel([ModelStep.respond(script)] * 9), mcp_servers=[amocrm])
        result = await Runner.run(agent, TASK)
        while result.interruptions:
            # The question as the server made it, not as the model tells of it.
            question = answers_in(result.to_input_list())[-1]["error"]["preview"]
            answer = await asyncio.to_thread(input, f"\n{question}\nYes? [y/N] ")
            state = result.to_state()
            for interruption in result.interruptions:
                if answer == "y":
                    state.approve(interruption)
                else:
                    state.reject(interruption, rejection_message='{"error": {"code": "declined", "message": "No."}}')
            result = await Runner.run(agent, state)
        print(result.final_output)


set_tracing_disabled(True)
asyncio.run(main())
