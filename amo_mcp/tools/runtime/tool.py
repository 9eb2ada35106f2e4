"""Declares a function as a tool: its name, docstring and annotations are what the model sees."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Generic, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, PrivateAttr, create_model

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.changes.execution import Execution
from amo_mcp.changes.leases import RunState
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.caller import Caller
from amo_mcp.protocol import BOARD

READ = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Of a tool that changes nothing. amoCRM is one closed account, so no tool has an open world."""

CREATE = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
"""Of a tool that only adds; called twice, it adds twice."""

DESTRUCTIVE = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
"""Of a tool that changes or deletes what is there, after a person has confirmed it."""


PICTURE = "amo-mcp/picture"
"""The key in the `_meta` of a result for what the board draws beside the answer; no model reads it."""


class Output(BaseModel):
    """What a tool answers, and beside it a picture of it for a person, in their words."""

    model_config = ConfigDict(defer_build=True)

    _picture: dict[str, Any] | None = PrivateAttr(default=None)

    def drawn(self, picture: dict[str, Any] | None) -> Self:
        """The same answer with its picture."""
        self._picture = picture
        return self

    @property
    def meta(self) -> dict[str, Any] | None:
        """The `_meta` of the result; the same for every client, whether it shows pages or not."""
        return self._picture and {PICTURE: self._picture}


class ExecutedOutput(Output, ABC):
    """What a tool that returns `Confirm` answers once its change was carried out."""

    @classmethod
    @abstractmethod
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        """The answer."""

    @classmethod
    def picture(cls, execution: Execution, change: PendingChange, reader: Reader) -> dict[str, Any] | None:
        """What came of the change as a picture; None where the answer is all that there is to see."""
        return None


OutputT = TypeVar("OutputT", bound=Output)
ExecutedT = TypeVar("ExecutedT", bound=ExecutedOutput)


@dataclass(frozen=True)
class Confirm(Generic[ExecutedT]):
    """What a destructive tool returns: a change that is carried out after a person's yes, answered as `ExecutedT`."""

    change: PendingChange


@dataclass(frozen=True)
class Confirmed(Generic[OutputT]):
    """What `confirm_change` returns: a change that a person has agreed to, answered as by the tool that asked."""

    approval: Approval


@dataclass(frozen=True)
class Watched:
    """What a tool returns whose change was agreed to in an earlier call, and is under way or has ended untold.

    Attributes:
        run: what the call watches now; nobody is asked again.
    """

    run: RunState


@dataclass(frozen=True)
class Call:
    """What a tool may know of its call beside the arguments.

    Attributes:
        account: what the call works on, which reports progress to the caller.
        confirm: consumes the approval of that id, which waits for this caller's `confirm_change`.
    """

    account: AmoAccount
    caller: Caller
    confirm: Callable[[str], Awaitable[Approval]]


@dataclass(frozen=True)
class _Injected:
    """A parameter that the model never sees, made from the call."""

    make: Callable[[Call], Any]


CurrentAccount = Annotated[AmoAccount, _Injected(lambda call: call.account)]
"""The type of a parameter that is given the account of the call."""

CurrentCall = Annotated[Call, _Injected(lambda call: call)]
"""The type of a parameter that is given the whole `Call`."""


@dataclass(frozen=True)
class ToolDefinition:
    """A tool as its module declares it: the name and docstring of `fn` are its own, the annotations its schemas.

    Attributes:
        on_board: whether the board draws its answer.
    """

    fn: Callable[..., Any]
    title: str
    annotations: ToolAnnotations
    on_board: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.fn.__name__

    @property
    def description(self) -> str:
        """Its docstring on one line."""
        return " ".join((self.fn.__doc__ or "").split())

    @property
    def meta(self) -> dict[str, Any] | None:
        """Its `_meta`: which page draws its answer, under the key of the extension and under an older one."""
        return {"ui": {"resourceUri": BOARD}, "ui/resourceUri": BOARD} if self.on_board else None

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.fn, include_extras=True)

    @property
    def _returned(self) -> Any:
        """What it returns when its change is not under way already."""
        returned = self._hints["return"]
        return get_args(returned)[0] if get_origin(returned) in (Union, UnionType) else returned

    @cached_property
    def _injected(self) -> dict[str, _Injected]:
        hints = self._hints.items()
        return {name: item for name, hint in hints for item in get_args(hint) if isinstance(item, _Injected)}

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The arguments that the model gives."""
        fields: dict[str, Any] = {
            name: (self._hints[name], ... if parameter.default is parameter.empty else parameter.default)
            for name, parameter in inspect.signature(self.fn).parameters.items()
            if name not in self._injected
        }
        return create_model(f"{self.name}Arguments", **fields)

    @property
    def asks(self) -> bool:
        """Whether it returns a change that a person has to confirm."""
        return get_origin(self._returned) is Confirm

    @cached_property
    def output(self) -> type[Output]:
        """What it answers; of a destructive tool, once its change was carried out."""
        returned = self._returned
        answer = get_args(returned)[0] if get_origin(returned) in (Confirm, Confirmed) else returned
        return cast("type[Output]", answer)

    def prepare(self) -> None:
        """Build what the first call needs: the models of its arguments and of its answer."""
        self.arguments.model_rebuild()
        self.output.model_rebuild()

    async def run(self, arguments: BaseModel, call: Call) -> Any:
        """Call the function with arguments that were validated."""
        values = {name: getattr(arguments, name) for name in type(arguments).model_fields}
        return await self.fn(**values, **{name: item.make(call) for name, item in self._injected.items()})


def tool(
    title: str, annotations: ToolAnnotations, *, on_board: bool = False
) -> Callable[[Callable[..., Any]], ToolDefinition]:
    """Make the function a tool."""
    return lambda fn: ToolDefinition(fn, title, annotations, on_board)
