"""What a model would call, without a model: the examples run without an account, a key, or a network."""

from typing import Any

TASK = "Rename VIP to Best customers and delete the old duplicate; then put everything back."


def next_call(answers: list[dict[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    """The tool to call next and its arguments, from the answers so far; None when the task is done."""
    match answers:
        case []:
            return "list_segments", {"search": "vip"}
        case [*_, {"error": {"code": "confirmation_required", "approval_id": approval_id}}]:
            return "confirm_change", {"approval_id": approval_id}
        case [*_, {"segments": [{"id": kept}, {"id": duplicate}]}]:
            rename = {"action": "update", "kind": "segment", "id": kept, "name": "Best customers"}
            return "plan_changes", {"changes": [rename, {"action": "delete", "kind": "segment", "id": duplicate}]}
        case [*_, {"plan_id": plan_id}]:
            return "apply_plan", {"plan_id": plan_id}
        case [*_, {"not_restored": _}]:
            return None
        case [*_, {"change_id": change_id, "status": "done"}]:
            return "undo_change", {"change_id": change_id}
    return None


def summary(answers: list[dict[str, Any]]) -> str:
    """What a model would say at the end."""
    match answers:
        case [*_, {"not_restored": lost, "done": done}]:
            return "\n".join(["Put back:", *done, "Not restored:", *lost])
        case [*_, {"error": {"code": code, "message": message}}]:
            return f"{code}: {message}"
    return "Nothing was done."
