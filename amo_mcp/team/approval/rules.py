"""Who may see a question of a team, and who may say what to it.

Roles and the operator's policies decide together. A yes is an approver's or an admin's, and under `second` not of the
one who asked. Who asked may always take it back. So an editor asks and never agrees, whatever the policy.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Create, Delete
from amo_mcp.confirmation.waiting import Answer
from amo_mcp.team.approval.questions import Question, QuestionStore
from amo_mcp.team.people import Person, includes
from amo_mcp.team.settings import Effect, Policy


@dataclass(frozen=True)
class Approvals:
    """The questions of a team, as each person may see them.

    Attributes:
        policies: who may say yes, by effect.
    """

    store: QuestionStore
    policies: Mapping[Effect, Policy]

    async def pending(self, person: Person) -> list[Question]:
        """What waits for an answer and somebody may see, the oldest first: their own, and what they may approve."""
        return [question for question in await self.store.waiting() if may_see(person, question)]

    async def seen(self, person: Person, page: str) -> Question | None:
        """The question with a public name; None when there is none that somebody may see."""
        question = await self.store.on_page(page)
        return question if question and may_see(person, question) else None

    def needs_second(self, question: Question) -> bool:
        """Whether somebody else has to agree than who asked: where the policy of any of its effects wants that."""
        return any(self.policies[effect] == "second" for effect in effects_of(question.approval.change))

    def answers(self, person: Person, question: Question) -> Collection[Answer]:
        """What somebody may say to a question."""
        is_own = person.id == question.asker.id
        answers: tuple[Answer, ...] = ("no", "yes")
        if not includes(person.role, "approver") or (is_own and self.needs_second(question)):
            answers = ("no",) if is_own else ()
        return answers


def may_see(person: Person, question: Question) -> bool:
    """Whether somebody may see a question: their own, or as an approver everybody's."""
    return person.id == question.asker.id or includes(person.role, "approver")


def effects_of(change: PendingChange) -> set[Effect]:
    """What a change is, for the policies. A plan is a plan and what its steps are: it evades nothing.

    What is created needs nobody's yes when it stands alone, and adds nothing to a plan.
    """
    single: set[Effect] = {
        "delete" if isinstance(step, Delete) else "update" for step in change.steps if not isinstance(step, Create)
    }
    if change.plan_id is not None or len(change.steps) > 1:
        return single | {"plan"}
    return single or {"update"}
