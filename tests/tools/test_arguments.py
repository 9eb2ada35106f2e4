"""Wrong arguments, whatever they are, end in `invalid_arguments`, and nothing is sent to the API."""

import difflib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Tool
from typing_extensions import override

from amo_mcp.amocrm.session import Session
from amo_mcp.sandbox import Sandbox
from amo_mcp.tools.runtime.catalog import catalog
from tests.conftest import Person, Serve, answer, error, served_on

NOTHING = "Nothing was changed."
TOOLS = [entry.listed for entry in catalog().values()]


class NoApi(Session):
    """A session on which nothing may be sent."""

    def __init__(self) -> None:
        self.base_url = "http://sandbox.localhost"

    @override
    async def request(self, method: str, path: str, **_: Any) -> Any:
        raise AssertionError(f"the API was asked for {method} {path}")


@asynccontextmanager
async def offline() -> AsyncIterator[Client]:
    """A client of a server that cannot reach any API."""
    async with served_on(Sandbox(), NoApi()).client("2026-07-28") as client:
        yield client


# What is wrong at one place of a schema, and what is right there.
JUNK = st.one_of(
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.lists(st.booleans(), min_size=1, max_size=2),
)


def wrong_value(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema does not take, and that are not one of the forgiven forms."""
    match schema:
        case {"enum": [*_]}:
            return st.text(alphabet="xyz", min_size=1, max_size=5) | JUNK
        case {"type": "integer"}:
            return (
                JUNK
                | st.text(alphabet="abc -", max_size=4).filter(str.strip)
                | st.just("1.5")
                | st.integers(max_value=-1)
                | st.integers(min_value=2**63)
            )
        case {"type": "string"}:
            return st.one_of(JUNK, st.just("\ud800"))
        case {"type": "array", "items": items}:
            return st.one_of(
                st.booleans(),
                st.text(alphabet="ab", min_size=1, max_size=3),
                st.lists(wrong_value(items), min_size=1, max_size=2),
                st.just([[]]),
            )
        case {"type": "object", "properties": properties}:
            return st.one_of(
                st.booleans(),
                st.text(alphabet="ab", max_size=3),
                st.dictionaries(
                    st.text(min_size=1, max_size=6).filter(lambda name: name not in properties),
                    st.integers(),
                    min_size=1,
                    max_size=2,
                ),
            )
    raise AssertionError(schema)


def right_value(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    match schema:
        case {"enum": [*choices]}:
            return st.sampled_from(choices)
        case {"type": "integer"}:
            return st.integers(min_value=1, max_value=100)
        case {"type": "string"}:
            return st.text(alphabet="абв", min_size=1, max_size=5)
        case {"type": "array", "items": items}:
            return st.lists(right_value(items), min_size=1, max_size=2)
        case {"type": "object", "properties": properties, "required": required}:
            return st.fixed_dictionaries({name: right_value(properties[name]) for name in required})
        case {"type": "object"}:
            return st.just({})
    raise AssertionError(schema)


@st.composite
def wrong_arguments(draw: st.DrawFn, tool: Tool) -> dict[str, Any]:
    """Right arguments with one thing made wrong: a value, a missing or an unknown name."""
    schema = tool.input_schema
    properties, required = schema["properties"], schema.get("required", [])
    arguments = {name: draw(right_value(properties[name])) for name in required}
    faults = ["unknown", *(["missing"] if required else []), *(["value"] if properties else [])]
    match draw(st.sampled_from(faults)):
        case "unknown":
            name = draw(st.text(max_size=12).filter(lambda name: name not in properties))
            arguments[name] = draw(st.none() | st.integers() | st.text(max_size=3))
        case "missing":
            name = draw(st.sampled_from(required))
            if draw(st.booleans()):
                arguments[name] = None
            else:
                del arguments[name]
        case _:
            name = draw(st.sampled_from(sorted(properties)))
            arguments[name] = draw(wrong_value(properties[name]))
    return arguments


@pytest.mark.exhaustive
@pytest.mark.requirement("ARG-2", "ERROR-5")
@pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])
def test_wrong_arguments_of_any_kind_are_refused_and_nothing_is_sent(tool: Tool) -> None:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(arguments=wrong_arguments(tool))
    def check(arguments: dict[str, Any]) -> None:
        async def call() -> None:
            async with offline() as client:
                failure = error(await client.call_tool(tool.name, arguments))
            assert failure["code"] == "invalid_arguments", (arguments, failure)
            assert failure["message"].endswith(NOTHING)
            assert failure["fields"]
            assert "pydantic" not in json.dumps(failure)
            json.dumps(failure, ensure_ascii=False).encode()

        anyio.run(call)

    check()


@pytest.mark.requirement("ARG-1", "ARG-4")
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "arguments", "fields"),
    [
        (
            "create_segment",
            {"name": "А", "colour": "ae003f"},
            [("colour", "is not a known argument; the nearest is color")],
        ),
        ("list_statuses", {"limit": 1}, [("limit", "is not known; none are taken")]),
        ("get_segment", {}, [("segment_id", "is required")]),
        ("get_segment", {"segment_id": "5\u200b1"}, [("segment_id", r"«5\u200b1» must be a whole number")]),
        (
            "list_segments",
            {"sea\u202erch": "x"},
            [(r"sea\u202erch", "is not a known argument; the nearest is search")],
        ),
        ("get_segment", {"segment_id": "fifty"}, [("segment_id", "«fifty» must be a whole number")]),
        ("get_segment", {"segment_id": True}, [("segment_id", "true must be a whole number")]),
        ("get_segment", {"segment_id": 0}, [("segment_id", "0 must be a positive whole number")]),
        ("list_segments", {"limit": -5}, [("limit", "-5 must be at least 1")]),
        ("list_segments", {"limit": 101}, [("limit", "101 must be at most 100")]),
        ("list_segments", {"detail": "all"}, [("detail", "«all» must be 'concise' or 'full'")]),
        (
            "list_segments",
            {"cursor": "page2"},
            [("cursor", "«page2» is not a cursor from this tool; leave it out to start from the beginning")],
        ),
        ("create_segment", {"name": "  "}, [("name", "must not be blank")]),
        ("create_segment", {"name": "a\nb"}, [("name", r"«a\u000ab» must not have control characters or line breaks")]),
        ("create_statuses", {"statuses": []}, [("statuses", "must not be empty")]),
        (
            "create_statuses",
            {"statuses": [{"name": "А", "sort": 1}] * 31},
            [("statuses", "must have at most 30 entries, not 31")],
        ),
        (
            "create_statuses",
            {"statuses": [{"name": "А", "sort": -1, "colr": "x"}, {"sort": 2}]},
            [
                ("statuses.0.sort", "-1 must be from 0 to 2147483647"),
                ("statuses.0.colr", "is not a known argument; the nearest is color"),
                ("statuses.1.name", "is required"),
            ],
        ),
        ("update_status", {"status_id": 1}, [("name, sort, color", "at least one of them is required")]),
        (
            "update_segment",
            {"segment_id": 1, "name": None},
            [("name, color, custom_fields_values, available_products_price_types", "at least one of them is required")],
        ),
        (
            "create_segment",
            {"name": "А", "custom_fields_values": [{"field_id": 1, "value": "x"}]},
            [
                ("custom_fields_values.0.values", "is required"),
                ("custom_fields_values.0.value", "is not a known argument; the nearest is values"),
            ],
        ),
    ],
)
async def test_each_problem_is_named_by_its_path_in_our_own_words(
    name: str, arguments: dict[str, Any], fields: list[tuple[str, str]]
) -> None:
    async with offline() as client:
        failure = error(await client.call_tool(name, arguments))
    assert failure["fields"] == [{"path": path, "detail": detail} for path, detail in fields]


@pytest.mark.requirement("ARG-3", "ARG-4")
@pytest.mark.anyio
async def test_null_numbers_as_text_and_lists_as_json_text_are_accepted(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        assert answer(await client.call_tool("get_segment", {"segment_id": "51"}))["id"] == 51
        listed = answer(
            await client.call_tool("list_segments", {"search": None, "limit": "2", "detail": None, "cursor": None})
        )
        assert len(listed["segments"]) == 2
        created = answer(
            await client.call_tool(
                "create_segment",
                {
                    "name": "123",
                    "color": " #AE003F",
                    "custom_fields_values": '[{"field_code": "MAILING", "values": [{"value": true, "enum_id": null}]}]',
                },
            )
        )["segment"]
    assert (created["name"], created["color"]) == ("123", "ae003f")
    assert created["custom_fields_values"][0]["values"] == [{"value": True}]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["null", "true", "[1]", '{"a":1}', "12"])
async def test_a_name_that_looks_like_json_stays_a_name(name: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        created = answer(await client.call_tool("create_segment", {"name": name}))
    assert created["segment"]["name"] == name


@pytest.mark.requirement("ARG-2")
@pytest.mark.anyio
async def test_of_very_many_wrong_arguments_the_first_fifty_are_told_and_no_other_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []

    def matches(name: str, *_: Any, **__: Any) -> list[str]:
        compared.append(name)
        return ["search"]

    monkeypatch.setattr(difflib, "get_close_matches", matches)
    many = {f"{number:05}{'x' * 100}": 1 for number in range(60_000)}
    async with offline() as client:
        top = error(await client.call_tool("list_segments", many))
        inside = error(await client.call_tool("plan_changes", {"changes": [dict([*many.items()][:40_000])]}))
        with pytest.raises(MCPError, match="the nearest is search"):
            await client.call_tool("get_segments" + "s" * 900_000, {})
    assert top["message"].endswith(f"nearest is search (and 59999 more, see fields). {NOTHING}")
    assert inside["message"].endswith(f"(and 40001 more, see fields). {NOTHING}")
    assert (len(top["fields"]), len(inside["fields"])) == (50, 50)
    assert len(compared) <= 101
    assert max(map(len, compared)) <= 100


FILLED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("list_segments", {}, {"search": "", "detail": "", "limit": 0, "cursor": ""}),
    ("list_segments", {"detail": "full"}, {"limit": "0", "cursor": " ", "search": None}),
    ("list_changes", {}, {"limit": 0, "cursor": ""}),
    ("list_customers", {"segment_id": 51}, {"status_id": 0, "search": "", "limit": "0", "cursor": ""}),
    ("create_segment", {"name": "А"}, {"color": "", "custom_fields_values": [], "available_products_price_types": ""}),
    ("create_segment", {"name": "А"}, {"custom_fields_values": "[]", "color": None}),
    ("update_segment", {"segment_id": 51}, {"name": None, "color": "", "custom_fields_values": []}),
]
"""A tool, arguments, and fillers that clients add to them."""


@pytest.mark.requirement("ARG-3")
@pytest.mark.anyio
@pytest.mark.parametrize(("name", "arguments", "fillers"), FILLED)
async def test_what_an_optional_argument_could_not_be_is_not_given(
    era: str, name: str, arguments: dict[str, Any], fillers: dict[str, Any], serve: Serve
) -> None:
    answers = []
    for sent in (arguments, arguments | fillers):
        async with serve(Sandbox()) as served, served.client(era) as client:
            result = answer(await client.call_tool(name, sent))
            answers.append(re.sub(r"[-0-9]{10}T[:0-9]{8}Z|c[0-9a-f]{12}", "…", json.dumps(result)))
    assert answers[0] == answers[1]


@pytest.mark.requirement("ARG-3")
@pytest.mark.anyio
async def test_fillers_in_changes_of_a_plan_are_not_given_and_a_position_of_0_is(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    fillers: dict[str, Any] = {"color": "", "custom_fields_values": [], "available_products_price_types": None}
    async with serve(periodicity) as served, served.client(era) as client:
        created = {"action": "create", "kind": "status", "id": 0, "name": "А", "sort": 0, **fillers}
        moved = {"action": "update", "kind": "status", "id": "4740019", "name": None, "sort": "0", **fillers}
        deleted = {"action": "delete", "kind": "status", "id": 4740013, "sort": "", **fillers}
        plan = answer(await client.call_tool("plan_changes", {"changes": [created, moved, deleted]}))
        assert len(plan["steps"]) == 3
        assert plan["steps"][0] == "1. Create status «А»: Position: 0"
        for wrong, path in (({"id": ""}, "id"), ({"name": ""}, "name")):
            refused = error(await client.call_tool("plan_changes", {"changes": [{**moved, **wrong}]}))
            assert [field["path"] for field in refused["fields"]] == [f"changes.0.{path}"]


@pytest.mark.requirement("ARG-3")
@pytest.mark.anyio
async def test_an_empty_list_clears_price_types_and_the_values_of_a_field(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        cleared = {"available_products_price_types": [], "custom_fields_values": [{"field_id": 269473, "values": []}]}
        after = answer(await client.call_tool("update_segment", {"segment_id": 51, **cleared}))["after"]
    assert after["available_products_price_types"] == []
    assert 269473 not in [field["field_id"] for field in after["custom_fields_values"] if field["values"]]


@pytest.mark.requirement("ARG-9")
@pytest.mark.anyio
async def test_lists_and_objects_are_taken_as_json_text_at_any_depth(era: str, sandbox: Sandbox, serve: Serve) -> None:
    value = json.dumps({"value": "true"})
    field = json.dumps({"field_code": "MAILING", "values": json.dumps([value])})
    change = {
        "action": "create",
        "kind": "segment",
        "name": '["[1]"]',
        "custom_fields_values": json.dumps([field]),
        "available_products_price_types": "[271211]",
    }
    for changes in ([change], [json.dumps(change)], json.dumps([change]), json.dumps([json.dumps(change)])):
        async with serve(Sandbox()) as served, served.client(era, Person("yes")) as client:
            plan = answer(await client.call_tool("plan_changes", {"changes": changes}))
            answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))
        [made] = [one for one in served.sandbox.account.segments.values() if one["name"] == '["[1]"]']
        assert [one["values"] for one in made["custom_fields_values"]] == [[{"value": True}]]
        assert made["available_products_price_types"] == [271211]


@pytest.mark.requirement("ARG-9")
@pytest.mark.anyio
@pytest.mark.parametrize("text", ["", "[", "{}", "null", "7", '"[]"', "[" * 100_000, "[1," + "9" * 5_000 + "]"])
async def test_json_text_of_another_kind_is_no_list(text: str) -> None:
    async with offline() as client:
        failure = error(await client.call_tool("create_statuses", {"statuses": text}))
    assert failure["code"] == "invalid_arguments"
    assert [field["path"] for field in failure["fields"]] == ["statuses"]


@pytest.mark.requirement("ARG-2")
@pytest.mark.anyio
@pytest.mark.parametrize(("names", "path"), [(49_998, "name"), (49_999, "arguments")])
async def test_arguments_have_at_most_fifty_thousand_keys_and_entries(names: int, path: str) -> None:
    """Two keys, and the entries of one list; the name is what is wrong in the smaller one."""
    async with offline() as client:
        prices = {"name": "", "available_products_price_types": json.dumps([*range(1, names + 1)])}
        failure = error(await client.call_tool("create_segment", prices))
    assert (failure["code"], failure["fields"][0]["path"]) == ("invalid_arguments", path)
    assert len(failure["message"]) < 200


@pytest.mark.requirement("ARG-2")
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_segment", {"segment_id": "777x"}),
        ("list_segments", {"limit": "777"}),
        ("update_segment", {"segment_id": 51, "color": "777"}),
        ("create_segment", {"name": "А", "custom_fields_values": [{"field_id": "777.5", "values": []}]}),
        ("plan_changes", {"changes": [{"action": "777", "kind": "segment"}]}),
        ("list_changes", {"cursor": "777"}),
    ],
)
async def test_an_error_about_a_value_names_the_value(name: str, arguments: dict[str, Any]) -> None:
    async with offline() as client:
        failure = error(await client.call_tool(name, arguments))
    assert "777" in failure["message"]
    assert "777" in failure["fields"][0]["detail"]
