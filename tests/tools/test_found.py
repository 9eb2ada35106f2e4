"""Clients that defer tools find them by text: what people ask for finds the tool that does it.

BM25 is what such clients use, with k1 1.5 and b 0.75, over name, description and argument names, words as they are.
"""

import math
import re
from collections import Counter

import pytest

from amo_mcp.tools.runtime.catalog import catalog

K1, B = 1.5, 0.75
ASKED = {
    "rename segment 51 to Regulars": "update_segment",
    "rename the status New to First contact": "update_status",
    "remove the empty segments": "delete_segment",
    "remove a status that nobody uses": "delete_status",
    "recolour the VIP segment": "update_segment",
    "change the color of a segment": "update_segment",
    "merge two segments that mean the same": "audit_segments",
    "move the status Waiting before Active": "update_status",
    "take back what you just did": "undo_change",
    "clean up my segments": "audit_segments",
    "tidy up the customer statuses": "audit_segments",
    "get rid of segment 78": "delete_segment",
    "undo the last change": "undo_change",
    "restore the segment that was deleted": "undo_change",
    "put it back as it was": "undo_change",
    "show me all segments": "list_segments",
    "which segments do we have": "list_segments",
    "find a segment by name": "list_segments",
    "search segments for wholesale": "list_segments",
    "what statuses are there": "list_statuses",
    "show the status with id 12": "get_status",
    "show the details of segment 51": "get_segment",
    "how many customers are in a segment": "get_segment",
    "add a segment for wholesale customers": "create_segment",
    "make a new segment": "create_segment",
    "add three new statuses": "create_statuses",
    "set the loyalty level field of a segment": "update_segment",
    "edit the custom fields of a segment": "update_segment",
    "which custom fields can a segment have": "list_segment_fields",
    "find duplicate segments": "audit_segments",
    "which segments have no customers": "audit_segments",
    "what is wrong with our segments": "audit_segments",
    "prepare a plan for these changes and show me the diff": "plan_changes",
    "delete several segments at once": "plan_changes",
    "rename many segments in one go": "plan_changes",
    "apply the plan": "apply_plan",
    "carry out all the planned changes": "apply_plan",
    "what has been changed lately": "list_changes",
    "show the history of changes": "list_changes",
    "is the account in segments or periodicity mode": "get_account",
    "how many more segments can we create before the limit": "get_account",
    "I have seen the preview and say yes": "confirm_change",
    "reorder the statuses": "update_status",
    "revert my last edit": "undo_change",
    "do a bulk rename of segments": "plan_changes",
    "who is in the VIP segment": "list_customers",
    "show the members of segment 51": "list_customers",
    "find the customer Ivanov": "list_customers",
    "which customers have the status Waiting": "list_customers",
    "put Ivanov into the VIP segment": "move_customers",
    "take these customers out of the segment": "move_customers",
    "move the customers to another status": "move_customers",
    "add a customer to a segment": "move_customers",
}
VERBS = [
    "rename",
    "remove",
    "recolour",
    "merge",
    "move",
    "take back",
    "clean up",
    "tidy up",
    "get rid of",
    "put it back",
]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def documents() -> dict[str, list[str]]:
    """The words of each tool."""
    return {
        name: words(f"{name} {entry.listed.description} {' '.join(entry.listed.input_schema.get('properties', {}))}")
        for name, entry in catalog().items()
    }


def found(request: str, tools: dict[str, list[str]]) -> list[str]:
    """The tools by BM25, best first."""
    average = sum(map(len, tools.values())) / len(tools)
    holding = Counter(word for text in tools.values() for word in set(text))

    def score(text: list[str]) -> float:
        count, total = Counter(text), 0.0
        for word in set(words(request)) & count.keys():
            rarity = math.log(1 + (len(tools) - holding[word] + 0.5) / (holding[word] + 0.5))
            total += rarity * count[word] * (K1 + 1) / (count[word] + K1 * (1 - B + B * len(text) / average))
        return total

    return sorted(tools, key=lambda name: (-score(tools[name]), name))


def test_the_requests_are_many_and_use_the_verbs_of_people() -> None:
    assert len(ASKED) >= 40
    assert [verb for verb in VERBS if not any(verb in request for request in ASKED)] == []
    assert set(ASKED.values()) == set(catalog())


@pytest.mark.requirement("TOOL-24")
@pytest.mark.parametrize(("request_", "wanted"), ASKED.items())
def test_a_request_finds_its_tool_among_the_first_five(request_: str, wanted: str) -> None:
    assert wanted in found(request_, documents())[:5]
