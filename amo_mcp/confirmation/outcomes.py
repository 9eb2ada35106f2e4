"""What the page says of a question that is no longer open: in a few words what became of it, and what that means."""

from amo_mcp.confirmation.waiting import Stage
from amo_mcp.language import Texts

HARMLESS: frozenset[Stage] = frozenset({"refused", "expired", "uncollected", "changed", "failed", "withdrawn"})
"""Where a question has ended, and nothing is lost."""


def outcome_words(stage: Stage, texts: Texts, done: int = 0, total: int = 0) -> tuple[str, str]:
    """A heading, and what is to be said below it; of a change that stopped, how many of its steps were made."""
    match stage:
        case "agreed":
            return texts("Your yes is recorded."), texts(
                "Now the assistant has to go on: if nothing happens, tell it to. "
                "This page reloads by itself and will say what was done."
            )
        case "done":
            return texts("Done."), texts("The change was made.")
        case "stopped":
            made = texts(
                "Steps that were made: {done} of {total}. The assistant has the reason.",
                done=done,
                total=total,
            )
            return texts("It stopped part-way."), made
        case "unknown":
            what = texts("It is not known whether the change was made.")
            return what, texts("Look at the account before anything is tried again.")
        case "refused":
            return texts("Your no is recorded."), texts("Nothing was changed.")
        case "changed":
            why = texts("The account is no longer as it was when you were asked. Nothing was changed.")
            return texts("Not done."), why
        case "failed":
            return texts("Not done."), texts("Nothing was changed. The assistant has the reason.")
        case "withdrawn":
            return texts("The question was withdrawn."), texts("Nothing was changed.")
        case "uncollected":
            why = texts("The assistant did not pick up your yes in time. Nothing was changed.")
            return texts("Too late."), why
        case "expired" | "waiting":
            return texts("Too late."), texts("The question was not answered in time. Nothing was changed.")
