"""A plan or an undo as a picture: the steps as the question has them, as data, in the words of who reads them."""

import json
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Any

from amo_mcp.changes.parts import parts_of
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Step
from amo_mcp.confirmation.diff import Setting
from amo_mcp.confirmation.question import question_of, shown_step

MAX_BYTES = 50_000
"""Bytes of JSON that the steps of one picture take; the last ones are left out where it would be more."""


def plan_picture(change: PendingChange, reader: Reader) -> dict[str, Any]:
    """What a plan will do: what is lost by it, and its steps, those first that delete, after the moves of a merge."""
    ordered = sorted(enumerate(change.steps, 1), key=lambda item: item[1].action not in ("delete", "move"))
    drawn = [_drawn(number, step, change, reader) for number, step in ordered]
    return {"losses": [*question_of(change, reader).losses], "steps": _that_fit(drawn)}


def outcome_picture(steps: Sequence[Step], change: PendingChange, reader: Reader) -> dict[str, Any]:
    """What came of a change: its steps, in order, each with its outcome."""
    parts = enumerate(parts_of(steps), 1)
    drawn = [_drawn(place, step, change, reader) | {"outcome": step.outcome} for place, step in parts]
    return {"losses": [], "steps": _that_fit(drawn)}


def _drawn(number: int, step: Step, change: PendingChange, reader: Reader) -> dict[str, Any]:
    shown = shown_step(number, step, change, reader)
    settings = [_setting(setting) for setting in shown.settings]
    return {"number": number, "action": shown.action, "headline": shown.headline, "settings": settings}


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        "label": setting.label,
        "before": setting.before and vars(setting.before),
        "after": vars(setting.after),
        "note": setting.note,
    }


def _that_fit(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    sizes = accumulate(len(json.dumps(step, ensure_ascii=False).encode()) for step in steps)
    return [step for step, _ in zip(steps, takewhile(lambda size: size <= MAX_BYTES, sizes), strict=False)]
