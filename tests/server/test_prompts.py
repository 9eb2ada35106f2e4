"""The prompts: what ships, what a client gets of them, and what is said of a file that cannot be used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError
from mcp_types import GetPromptResult, PromptMessage, TextContent

from amo_mcp.sandbox import Sandbox
from amo_mcp.server.prompts import InvalidPrompt, Prompts, shipped
from amo_mcp.text import visible
from tests.conftest import Serve

ROOT = Path(__file__).parent.parent.parent

SHIPPED = {
    "audit_segments": (
        "Audit the segments",
        "Find problems with the account's customer segments, and suggest what to do about them.",
        [],
    ),
    "design_segments": (
        "Design segments for a business",
        "Propose a small set of customer segments that fits a business, and create those that the user wants.",
        [("business", "What the business sells, to whom, and how often its customers buy", True)],
    ),
    "explain_segment": (
        "Explain a segment",
        "Explain in plain words what one segment is, from the account's data.",
        [("segment_id", "Id of the segment", True)],
    ),
    "reorganize_segments": (
        "Reorganise the segments",
        "Agree with the user on how the segments should look, and get there in one plan.",
        [("goal", "What the segments should be like afterwards, in the user's words", True)],
    ),
    "tidy_statuses": (
        "Tidy up the statuses",
        "Bring names, order and colours of the customer statuses into shape.",
        [],
    ),
    "undo_last_change": (
        "Undo the last change",
        "Find the last change that this server made, say what undoing it would do, and undo it.",
        [],
    ),
}

GREETING = """\
+++
name = "greet"
title = "Greet"
description = "Say hello."

[[arguments]]
name = "whom"
description = "Who is greeted"
required = true

[[arguments]]
name = "way2"
description = "In what way"
+++
Greet {{whom}}, {{way2}}, and {{whom}} again.
"""
ARGUMENTS = GREETING.index("\n[[arguments]]")
FRONT, PLAIN = GREETING[:ARGUMENTS], "+++\nHello.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greet.md").write_text(GREETING, "utf-8")
    return tmp_path


def body(name: str) -> str:
    """The text of a shipped prompt, as its file has it."""
    return (ROOT / "prompts" / f"{name}.md").read_text("utf-8").split("\n+++\n", 1)[1].strip() + "\n"


def text_of(result: GetPromptResult) -> str:
    [message] = result.messages
    assert isinstance(message.content, TextContent)
    return message.content.text


class TestThroughAClient:
    pytestmark = pytest.mark.anyio

    @pytest.mark.requirement("PROMPT-1")
    async def test_six_prompts_are_listed_with_title_description_and_arguments(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            listed = (await client.list_prompts()).prompts
        assert {
            item.name: (item.title, item.description, [(it.name, it.description, it.required) for it in item.arguments])
            for item in listed
            if item.arguments is not None
        } == SHIPPED
        assert [item.name for item in listed] == list(SHIPPED)

    @pytest.mark.requirement("PROMPT-2")
    async def test_a_prompt_comes_whole_with_its_arguments_in_their_places(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            for name, (_, description, listed) in SHIPPED.items():
                got = await client.get_prompt(name, {argument: f"<{argument}>" for argument, _, _ in listed})
                text = body(name)
                for argument, _, _ in listed:
                    text = text.replace(f"{{{{{argument}}}}}", f"<{argument}>")
                assert "{{" not in text
                assert got.description == description
                assert got.messages == [PromptMessage(role="user", content=TextContent(text=text))]

    async def test_an_unknown_prompt_is_an_error_that_names_the_nearest(
        self, era: str, sandbox: Sandbox, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            with pytest.raises(MCPError) as caught:
                await client.get_prompt("audit_segment", None)
        assert (caught.value.code, caught.value.error.message) == (
            -32602,
            "There is no such prompt; the nearest is audit_segments.",
        )
        assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_every_prompt_declares_names_to_be_data_and_answers_in_the_users_language(name: str) -> None:
    text = " ".join(body(name).split())
    assert "of the account are data" in text
    assert "instruction" in text.partition("of the account are data")[2]
    assert "in the user's language" in text or "in their language" in text


@pytest.mark.parametrize("name", ["audit_segments", "design_segments", "reorganize_segments", "tidy_statuses"])
def test_a_prompt_that_can_lead_to_several_changes_makes_one_plan(name: str) -> None:
    text = body(name)
    assert 0 < text.index("`plan_changes`") < text.index("`apply_plan`")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_prompt_names_only_tools_that_exist(name: str) -> None:
    tools = {path.stem for path in (ROOT / "tests" / "snapshots").glob("*.json")}
    words = {"detail", "full", "next_cursor", "search", "limit", "change_id", "is_default"}
    assert set(body(name).split("`")[1::2]) <= tools | words


@given(whom=st.text(max_size=200).filter(lambda text: visible(text).strip()), way=st.text(max_size=200))
def test_whatever_an_argument_contains_is_put_in_literally(
    whom: str, way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "greet.md").write_text(GREETING, "utf-8")
    for named in (whom, "{{way2}}", r"\g<0> \1 \n $1 %s {0}", "+++\n", "x" * 10_000):
        got = Prompts(folder).get("greet", {"whom": named, "way2": way})
        assert text_of(got) == f"Greet {visible(named)}, {visible(way)}, and {visible(named)} again.\n"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("explain_segment", None, "The prompt explain_segment needs the argument segment_id."),
        ("explain_segment", {"segment_id": " \n\u200b"}, "The prompt explain_segment needs the argument segment_id."),
        (
            "explain_segment",
            {"segment_id": "51", "segmentid": "51"},
            "The prompt explain_segment has no argument «segmentid»; it takes: segment_id.",
        ),
        ("tidy_statuses", {"a\nb": ""}, "The prompt tidy_statuses has no argument «a b»; it takes: none."),
        ("tidy_statuses", {"x" * 500: ""}, f"The prompt tidy_statuses has no argument «{'x' * 79}…»; it takes: none."),
        ("reorganize_segments", {"goal": "x" * 10_001}, "The argument goal is longer than 10000 characters."),
        ("Undo the last change", {"a": "b"}, "There is no such prompt; the nearest is undo_last_change."),
        ("x" * 100_000, None, "There is no such prompt; the nearest is "),
        ("../audit_segments", None, "There is no such prompt; the nearest is audit_segments."),
        ("", None, "There is no such prompt; the nearest is "),
    ],
)
def test_an_argument_or_a_name_that_does_not_fit_is_named(
    name: str, arguments: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(MCPError) as caught:
        Prompts().get(name, arguments)
    assert caught.value.code == -32602
    assert caught.value.error.message.startswith(message)
    assert message.endswith(" is ") or caught.value.error.message == message


def test_an_argument_that_is_not_required_can_be_left_out(folder: Path) -> None:
    assert text_of(Prompts(folder).get("greet", {"whom": "Анна"})) == "Greet Анна, , and Анна again.\n"


@pytest.mark.requirement("PROMPT-2")
def test_a_new_file_in_the_folder_is_a_new_prompt(folder: Path) -> None:
    (folder / "aside.md").write_bytes(GREETING.replace('"greet"', '"aside"').replace("\n", "\r\n").encode())
    (folder / "notes.txt").write_text("not a prompt", "utf-8")
    prompts = Prompts(folder)
    assert [item.name for item in prompts.listed()] == ["aside", "greet"]
    assert text_of(prompts.get("aside", {"whom": "a", "way2": "b"})) == "Greet a, b, and a again.\n"


def test_an_empty_folder_has_no_prompts(tmp_path: Path) -> None:
    assert Prompts(tmp_path).listed() == []
    with pytest.raises(MCPError, match=r"^There is no such prompt; the nearest is none\.$"):
        Prompts(tmp_path).get("greet", None)


def test_two_files_with_one_name_are_an_error_that_names_the_second(folder: Path) -> None:
    (folder / "twin.md").write_text(GREETING, "utf-8")
    with pytest.raises(InvalidPrompt) as caught:
        Prompts(folder)
    assert str(caught.value) == f"{folder / 'twin.md'}: another file has the name 'greet'"


FENCED = "must begin with front matter between lines of +++"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", FENCED),
        ("---\nname: greet\n---\nHello.\n", FENCED),
        ("\n" + GREETING, FENCED),
        (FRONT, FENCED),
        (FRONT + "+++", FENCED),
        (b'+++\nname = "\xff"\n+++\nHello.\n', "'utf-8' codec"),
        (FRONT.replace('title = "Greet"', "title = Greet") + PLAIN, "at line 2"),
        (FRONT.replace('name = "greet"\n', "") + PLAIN, "name\n"),
        (FRONT.replace('"Say hello."', '" "') + PLAIN, "description\n"),
        (FRONT.replace('"Greet"', "7") + PLAIN, "title\n"),
        *((FRONT.replace('"greet"', f'"{name}"') + PLAIN, "name\n") for name in ("Greet", "1st", "greet\\n", "g" * 31)),
        (FRONT + 'model = "best"\n' + PLAIN, "model\n"),
        (FRONT + 'arguments = "whom"\n' + PLAIN, "arguments\n"),
        (FRONT + 'arguments = ["whom"]\n' + PLAIN, "arguments.0\n"),
        (FRONT + 'arguments = [{ name = "whom" }]\n' + PLAIN, "arguments.0.description\n"),
        (GREETING.replace("required = true", 'required = "yes"'), "arguments.0.required\n"),
        (GREETING.replace("required = true", 'type = "text"'), "arguments.0.type\n"),
        (GREETING.replace(", {{way2}}", ""), "arguments and placeholders differ: way2, whom; in the text whom"),
        (FRONT + "+++\nHello {{whom}}.\n", "arguments and placeholders differ: none; in the text whom"),
        (GREETING.replace('"way2"', '"whom"'), "arguments and placeholders differ: whom, whom; in the text way2, whom"),
        (FRONT + "+++\n \n\n", "there is no text"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_names_it_and_the_problem(
    content: str | bytes, problem: str, folder: Path
) -> None:
    file = folder / "greet.md"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidPrompt) as caught:
        Prompts(folder)
    assert str(caught.value).startswith(f"{file}: ")
    assert problem in str(caught.value)


def test_a_checkout_takes_the_folder_beside_the_package() -> None:
    assert shipped() == ROOT / "prompts"
    assert {file.name for file in shipped().iterdir()} == {f"{name}.md" for name in SHIPPED}
