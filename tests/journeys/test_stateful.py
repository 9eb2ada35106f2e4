"""Many calls after one another, through trouble and beside other people's edits: what is claimed is what is there.

A write whose answer says `outcome_unknown` leaves two worlds possible; the account itself then tells which it is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from amo_mcp.sandbox import Fault
from amo_mcp.sandbox.api import segments, statuses
from tests.journeys.lossy import CREATED_AT, SEGMENTS, STATUSES, Bench, ToolCall, claim_of, is_true, opened

pytestmark = pytest.mark.exhaustive

Row = tuple[Any, ...]
WRITES = ("POST", "PATCH", "DELETE")
MAX_ENTITIES = 20
NAMES = ("Гости", "VIP", "Сезон")
COLORS = {"segments": ("b118c8", "dd1c1a"), "periodicity": ("#fff000", "#ffdc7f")}
FOREIGN = {"segments": "4f517d", "periodicity": "#ccc8f9"}
REFUSALS = [400, 401, 402, 403, 405, 413, 422]
BROKEN = [408, 500, 502, 503, 504]
"""A 404 of the API for what is there, and a success that is none, are lies: nobody could see through them."""


def either(**choices: Sequence[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: st.sampled_from(values) for key, values in choices.items()})


FAULTS = st.lists(
    st.builds(
        lambda kind, when: Fault(**kind, **when),
        st.one_of(
            either(drop=["before", "after", "body"]),
            either(status=REFUSALS, html=[False, True]),
            either(status=BROKEN, html=[False, True], after_effect=[False, True]),
            either(status=[404], html=[True], after_effect=[False, True]),
            either(body=["<html>", '{"id": 5, "na'], after_effect=[False, True]),
            either(retry_after=[0, 5, 300]),
        ),
        either(method=["the write", "the write", "GET", None], times=[1, 2, 2], skip=[0, 0, 0, 1]),
    ),
    max_size=3,
)
SILENCE = st.sampled_from(["", "", "", "never", "after", "late"])
ACTIONS = ("create", "update", "delete")
CHANGE = either(name=NAMES, color=[0, 1], sort=[None, 0, 1, 4, 20])
WHEN = st.sampled_from(["", "", "", "before the call", "before the yes", "at the write"])


class Story(RuleBasedStateMachine):
    """Calls, troubles and foreign edits in one account, and what has to be in it after each.

    `rows` is that: (id, name, color), in the order of the account for statuses, by id for segments. The edit of another
    is in it as soon as it is made.
    """

    def __init__(self, outcomes: Counter[str], portal: BlockingPortal, bench: Bench, mode: str) -> None:
        super().__init__()
        self.outcomes, self.portal, self.bench, self.mode = outcomes, portal, bench, mode
        self.account = bench.reset(mode).account
        self.rows = self.listed()

    def listed(self) -> list[Row]:
        models = statuses.ordered(self.account) if self.mode == "periodicity" else self.account.segments.values()
        rows = [row(model) for model in models]
        return rows if self.mode == "periodicity" else sorted(rows)

    def deletable(self, spare: int | None = None) -> list[Row]:
        system = (key for key, status in self.account.statuses.items() if status["is_default"])
        kept = {spare, *(system if self.mode == "periodicity" else ())}
        return [row for row in self.rows if row[0] not in kept]

    def edit(self, action: str, pick: int, spare: int | None) -> None:
        """What somebody else does in the account, by the API's own rules; `spare` is left alone."""
        others, own = [row for row in self.rows if row[0] != spare], self.deletable(spare)
        api, when = (statuses, ()) if self.mode == "periodicity" else (segments, (int(CREATED_AT),))
        change: dict[str, Any] = {"name": NAMES[pick % 3], "color": FOREIGN[self.mode]}
        if action == "create" and len(self.rows) < MAX_ENTITIES:
            several = [{**change, "sort": pick}]
            api.create(self.account, several if self.mode == "periodicity" else change, *when)
        elif action == "delete" and own:
            api.delete(self.account, own[pick % len(own)][0])
        elif others:
            api.update(self.account, others[pick % len(others)][0], change, *when)
        self.rows = self.listed()

    @rule(
        call=st.tuples(st.sampled_from([*ACTIONS, "read"]), st.integers(0, 40), CHANGE, st.booleans()),
        faults=FAULTS,
        silence=SILENCE,
        beside=st.tuples(WHEN, st.sampled_from(ACTIONS)),
    )
    def call(self, call: tuple[Any, ...], faults: list[Fault], silence: str, beside: tuple[str, str]) -> None:
        """One call, whatever becomes of its requests, and whoever edits at the same time."""
        action, pick, change, flag = call
        when, edit = beside

        def meddle(moment: str, spare: Row | None = None) -> str:
            if moment == when:
                self.edit(edit, pick, spare[0] if spare else None)
            return "yes"

        meddle("before the call")
        action = "delete" if action == "create" and len(self.rows) >= MAX_ENTITIES else action
        targets = {"create": [], "delete": self.deletable()}.get(action, self.rows)
        target = targets[pick % len(targets)] if targets else None
        if target is None and action != "create":
            return
        made_call = self.tool_call(action, target, change, flag=flag)

        def prepare() -> None:
            if made_call.two_steps:
                meddle("before the yes")
            self.bench.wire.meanwhile = lambda: meddle("at the write", target)
            self.trouble(made_call, faults, silence)

        self.bench.person.says = lambda _: meddle("before the yes")
        self.bench.begin()
        answered = self.portal.call(self.bench.call, made_call, prepare)
        self.outcomes[f"{made_call.method} {claim_of(answered)}"] += 1
        forbidden = Counter((item.method, item.path) for item in self.bench.wire.sandbox.requests if item.status == 403)
        assert max(forbidden.values(), default=0) <= 1
        current = self.listed()
        done = self.after(action, made_call.arguments, target, current)
        assert is_true(answered, current, self.rows, done), (made_call, answered, self.rows, current)
        if claim_of(answered) == "done":
            self.check(answered, current, target)
        self.rows = current

    def trouble(self, made_call: ToolCall, faults: list[Fault], silence: str) -> None:
        self.bench.wire.silence = {made_call.method: [silence]} if silence and made_call.method != "GET" else {}
        for fault in faults:
            method = made_call.method if fault.method == "the write" else fault.method
            self.bench.wire.sandbox.faults.add(replace(fault, method=method))

    def tool_call(self, action: str, target: Row | None, change: dict[str, Any], *, flag: bool) -> ToolCall:
        """The call."""
        root, one, several = (
            (STATUSES, "status", "statuses") if self.mode == "periodicity" else (SEGMENTS, "segment", "segments")
        )
        given = {"name": change["name"], "color": COLORS[self.mode][change["color"]]}
        if self.mode == "periodicity" and change["sort"] is not None:
            given["sort"] = change["sort"]
        if target is None and self.mode == "periodicity":
            drafts = [{"sort": 3, **given}, {**given, "sort": 1, "name": "Второй"}]
            return ToolCall("create_statuses", {"statuses": drafts[: 1 + flag]}, "POST", root)
        if target is None:
            return ToolCall("create_segment", given, "POST", root)
        arguments = {f"{one}_id": target[0]}
        if action == "read":
            tool, arguments = (f"get_{one}", arguments) if flag else (f"list_{several}", {})
            return ToolCall(tool, arguments, "GET", root)
        if action == "delete":
            return ToolCall(f"delete_{one}", arguments, "DELETE", root, flag)
        return ToolCall(f"update_{one}", {**arguments, **given}, "PATCH", root, flag)

    def after(self, action: str, arguments: dict[str, Any], target: Row | None, current: list[Row]) -> list[Row]:
        """The rows once the call has had its effect; of what is there now, only the ids of new ones are believed."""
        if target is None:
            new = sorted({row[0] for row in current} - {row[0] for row in self.rows})
            drafts = arguments.get("statuses", [{**arguments, "sort": len(self.rows)}])
            made = [(draft["sort"], (*new[n : n + 1], draft["name"], draft["color"])) for n, draft in enumerate(drafts)]
            return [row for _, row in sorted([*enumerate(self.rows), *made], key=lambda placed: placed[0])]
        if action == "read" or target not in self.rows:
            return self.rows
        rest = [row for row in self.rows if row != target]
        if action == "update":
            place = min(arguments.get("sort", self.rows.index(target)), len(rest))
            rest.insert(place, (target[0], arguments.get("name", target[1]), arguments.get("color", target[2])))
        return rest

    def check(self, answered: dict[str, Any], current: list[Row], target: Row | None) -> None:
        """The answer itself: what it shows as it is now is so, and what it shows as it was before was so."""
        if "total" in answered:
            assert [row(item) for item in answered.get("statuses", answered.get("segments", []))] == current
            return
        is_read = "id" in answered
        after = [answered.get("after"), answered.get("segment"), *answered.get("statuses", [])]
        before = [answered.get("before"), answered.get("deleted"), answered if is_read else None]
        new, old = [row(item) for item in after if item], [row(item) for item in before if item]
        assert (old, set(new) - set(current)) == ([target] if target else [], set())
        assert new or target not in current or is_read

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert self.listed() == self.rows


def row(model: dict[str, Any]) -> Row:
    return model["id"], model["name"], model["color"]


EXAMPLES, STEPS, SLOW = 7, 40, [HealthCheck.too_slow]
"""For each of two eras and two modes: 1,120 steps in all."""


@pytest.mark.parametrize("mode", ["segments", "periodicity"])
def test_whatever_happens_the_account_holds_what_the_answers_said(era: str, mode: str) -> None:
    outcomes: Counter[str] = Counter()
    careful = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, suppress_health_check=SLOW)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opened(era)) as bench:

        def story() -> Story:
            return Story(outcomes, portal, bench, mode)

        # It takes any factory, whatever its annotation says.
        run_state_machine_as_test(cast("Any", story), settings=careful)

    assert outcomes.total() >= EXAMPLES * STEPS * 9 // 10
    seen = {f"{method} {outcome}" for method in WRITES for outcome in ("done", "outcome_unknown", "unavailable")}
    assert {*seen, "PATCH target_changed", "DELETE target_changed"} <= outcomes.keys()
