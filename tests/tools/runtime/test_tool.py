"""A function declared as a tool: what the model sees of it, and what is passed to it."""

from typing import Annotated

import pytest
from mcp_types import ToolAnnotations
from pydantic import Field, ValidationError

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.caller import Caller
from amo_mcp.tools.runtime.tool import CREATE, DESTRUCTIVE, READ, Call, CurrentAccount, Output, tool
from tests.conftest import Serve
from tests.tools.runtime.declared import Renamed, Sum, add_numbers, break_down, carry_out, rename_segment

pytestmark = pytest.mark.anyio


async def never(_: str) -> Approval:
    raise AssertionError("nothing is confirmed here")


def test_name_title_and_description_are_those_of_the_function() -> None:
    assert (add_numbers.name, add_numbers.title) == ("add_numbers", "Add two numbers")
    assert add_numbers.description == "Add two numbers, and say so."


def test_injected_parameters_are_no_arguments() -> None:
    assert list(add_numbers.arguments.model_fields) == ["first", "second"]
    assert list(break_down.arguments.model_fields) == ["how"]


def test_a_parameter_without_a_default_is_a_required_argument() -> None:
    assert {name: field.is_required() for name, field in add_numbers.arguments.model_fields.items()} == {
        "first": True,
        "second": False,
    }
    with pytest.raises(ValidationError, match="Field required"):
        add_numbers.arguments.model_validate({"second": 1})


def test_a_tool_that_returns_a_pending_change_asks_and_answers_what_comes_of_it() -> None:
    assert [item.asks for item in (add_numbers, rename_segment, carry_out)] == [False, True, False]
    assert add_numbers.output is Sum
    assert rename_segment.output is carry_out.output is Renamed


def test_what_a_tool_does_to_the_world_is_declared_with_it() -> None:
    assert [item.annotations for item in (add_numbers, rename_segment, carry_out)] == [READ, DESTRUCTIVE, CREATE]
    hints = ("read_only_hint", "destructive_hint", "idempotent_hint", "open_world_hint")
    declared: list[ToolAnnotations] = [READ, CREATE, DESTRUCTIVE]
    assert [[getattr(item, hint) for hint in hints] for item in declared] == [
        [True, False, True, False],
        [False, False, False, False],
        [False, True, True, False],
    ]


async def test_the_function_is_given_its_arguments_and_what_is_injected(serve: Serve, sandbox: object) -> None:
    received: list[object] = []

    @tool("Note", READ)
    async def note(
        first: Annotated[int, Field(description="A number")], account: CurrentAccount, second: int = 5
    ) -> Sum:
        """Note what is given."""
        received.extend([first, second, account])
        return Sum(total=first)

    async with serve(sandbox) as served:
        call = Call(served.account, Caller(), never)
        assert await note.run(note.arguments(first=1), call) == Sum(total=1)
    assert received == [1, 5, call.account]
    assert isinstance(received[2], AmoAccount)


def test_preparing_builds_the_models_of_arguments_and_answer() -> None:
    class Fresh(Output):
        """An answer that was not built yet."""

        total: int

    @tool("Fresh", READ)
    async def fresh(first: int) -> Fresh:
        """Answer freshly."""
        return Fresh(total=first)

    assert not Fresh.__pydantic_complete__
    fresh.prepare()
    assert Fresh.__pydantic_complete__
    assert fresh.arguments.__pydantic_complete__
