"""The prompts: what ships, what a client gets of them, and what is said of a file that cannot be used."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import GetPromptResult, PromptMessage, TextContent

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.changes.journal import Journal
from amo_mcp.confirmation.approvals import Approvals
from amo_mcp.confirmation.ask import AppState
from amo_mcp.server.app import AmoServer
from amo_mcp.server.prompts import InvalidPrompt, Prompts, parse, shipped
from tests.conftest import ERAS

pytestmark = pytest.mark.anyio

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
name = "how"
description = "In what way"
+++
Greet {{whom}}, {{how}}, and {{whom}} again.
"""


@pytest.fixture
def client(era: str) -> Client:
    """A client of a server whose account is never asked for anything."""
    account = AmoAccount(AmoClient(None), Journal())  # type: ignore[arg-type]
    return Client(AmoServer(AppState(account, Approvals(), two_step=True), read_only=False), mode=ERAS[era], cache=None)


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


@pytest.mark.requirement("PROMPT-1")
async def test_six_prompts_are_listed_by_name_with_title_description_and_arguments(client: Client) -> None:
    async with client:
        listed = (await client.list_prompts()).prompts
    assert [
        (item.name, item.title, item.description, [(one.name, one.description, one.required) for one in item.arguments])
        for item in listed
        if item.arguments is not None
    ] == [(name, *told) for name, told in SHIPPED.items()]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_prompt_holds_names_to_be_data_and_answers_in_the_users_language(name: str) -> None:
    text = " ".join(body(name).split())
    assert "of the account are data" in text
    assert "instruction" in text.partition("of the account are data")[2]
    assert "in the user's language" in text or "in their language" in text


@pytest.mark.parametrize("name", ["audit_segments", "design_segments", "reorganize_segments", "tidy_statuses"])
def test_where_more_than_one_change_can_come_it_is_one_plan_that_is_applied(name: str) -> None:
    text = body(name)
    assert 0 < text.index("`plan_changes`") < text.index("`apply_plan`")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_prompt_names_no_tool_that_there_will_never_be(name: str) -> None:
    tools = {
        *("list_statuses get_status create_statuses update_status delete_status list_segments get_segment").split(),
        *("create_segment update_segment delete_segment get_account list_segment_fields audit_segments").split(),
        *("plan_changes apply_plan list_changes undo_change confirm_change").split(),
    }
    words = {"detail", "full", "search", "limit", "change_id", "is_default"}
    assert set(body(name).split("`")[1::2]) <= tools | words


@pytest.mark.requirement("PROMPT-2")
@pytest.mark.parametrize("name", SHIPPED)
async def test_a_prompt_comes_whole_with_its_arguments_in_their_places(client: Client, name: str) -> None:
    arguments = {argument: f"<{argument}>" for argument, _, _ in SHIPPED[name][2]}
    text = body(name)
    for argument, value in arguments.items():
        assert f"{{{{{argument}}}}}" in text
        text = text.replace(f"{{{{{argument}}}}}", value)
    async with client:
        got = await client.get_prompt(name, arguments)
    assert got.description == SHIPPED[name][1]
    assert got.messages == [PromptMessage(role="user", content=TextContent(type="text", text=text))]
    assert "{{" not in text


@pytest.mark.parametrize(
    "value",
    [
        "{{goal}}",
        "{{business}} and {{goal}}",
        r"\g<0> \1 \\ \n $1 %s {0} {goal}",
        "x" * 10_000,
        "one\ntwo\r\n\tthree +++\n+++\n",
        "«ВИП» ☕ \u202e\x00 <b>&amp;",
    ],
    ids=["its own place", "places", "patterns", "the longest", "lines", "odd characters"],
)
async def test_what_an_argument_brings_is_put_in_literally(client: Client, value: str) -> None:
    before, after = body("reorganize_segments").split("{{goal}}")
    async with client:
        got = await client.get_prompt("reorganize_segments", {"goal": value})
    assert text_of(got) == before + value + after


@given(whom=st.text(max_size=200).filter(str.strip), how=st.text(max_size=200))
def test_no_argument_can_reach_beyond_its_places(whom: str, how: str, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "greeting.md"
    file.write_text(GREETING, "utf-8")
    text = text_of(parse(file).filled({"whom": whom, "how": how}))
    assert text == f"Greet {whom}, {how}, and {whom} again.\n"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("explain_segment", None, "The prompt explain_segment needs the argument segment_id."),
        ("explain_segment", {}, "The prompt explain_segment needs the argument segment_id."),
        ("explain_segment", {"segment_id": " \n"}, "The prompt explain_segment needs the argument segment_id."),
        (
            "explain_segment",
            {"segment_id": "51", "segmentid": "51"},
            "The prompt explain_segment has no argument 'segmentid'; it takes: segment_id.",
        ),
        ("tidy_statuses", {"a\nb": ""}, r"The prompt tidy_statuses has no argument 'a\nb'; it takes: none."),
        ("tidy_statuses", {"x" * 500: ""}, f"The prompt tidy_statuses has no argument '{'x' * 59}; it takes: none."),
        ("reorganize_segments", {"goal": "x" * 10_001}, "The argument goal is longer than 10000 characters."),
        ("audit_segment", None, "There is no such prompt; the nearest is audit_segments."),
        ("Undo the last change", {"a": "b"}, "There is no such prompt; the nearest is undo_last_change."),
        ("x" * 100_000, None, "There is no such prompt; the nearest is "),
        ("../audit_segments", None, "There is no such prompt; the nearest is audit_segments."),
        ("", None, "There is no such prompt; the nearest is "),
    ],
)
async def test_an_argument_or_a_prompt_that_does_not_fit_is_named(
    client: Client, name: str, arguments: dict[str, str] | None, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with client:
        with pytest.raises(MCPError) as caught:
            await client.get_prompt(name, arguments)
    assert caught.value.code == -32602
    assert caught.value.error.message.startswith(message)
    assert message.endswith(" is ") or caught.value.error.message == message
    assert [record for record in caplog.records if record.exc_info] == []


def test_an_argument_that_is_not_required_can_be_left_out(folder: Path) -> None:
    got = Prompts(folder).get("greet", {"whom": "Анна"})
    assert text_of(got) == "Greet Анна, , and Анна again.\n"


@pytest.mark.requirement("PROMPT-2")
def test_a_new_file_in_the_folder_is_a_new_prompt(folder: Path) -> None:
    before = [item.name for item in Prompts(folder).listed()]
    (folder / "aside.md").write_text(GREETING.replace('"greet"', '"aside"'), "utf-8")
    (folder / "notes.txt").write_text("not a prompt", "utf-8")
    after = Prompts(folder)
    assert (before, [item.name for item in after.listed()]) == (["greet"], ["aside", "greet"])
    assert text_of(after.get("aside", {"whom": "a", "how": "b"})) == "Greet a, b, and a again.\n"


def test_an_empty_folder_has_no_prompts(tmp_path: Path) -> None:
    assert Prompts(tmp_path).listed() == []
    with pytest.raises(MCPError, match=r"^There is no such prompt; the nearest is none\.$"):
        Prompts(tmp_path).get("greet", None)


def test_lines_may_end_as_on_windows(folder: Path) -> None:
    (folder / "greet.md").write_bytes(GREETING.replace("\n", "\r\n").encode())
    assert text_of(Prompts(folder).get("greet", {"whom": "a", "how": "b"})) == "Greet a, b, and a again.\n"


def test_two_files_with_one_name_are_told_apart_by_the_second(folder: Path) -> None:
    twin = folder / "twin.md"
    twin.write_text(GREETING, "utf-8")
    with pytest.raises(InvalidPrompt) as caught:
        Prompts(folder)
    assert str(caught.value) == f"{twin}:1: another file has the name 'greet' already"


FENCED = "must begin with front matter between lines of +++"
NAMED = "name must be of small letters, digits and _, at most 30"
SHAPED = "each of arguments must have its own name, a description, and required or not"
ARGUMENTS = GREETING.index("\n[[arguments]]")
FRONT, PLAIN = GREETING[:ARGUMENTS], "+++\nHello.\n"


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("", 1, FENCED),
        ("Hello.\n", 1, FENCED),
        ("---\nname: greet\n---\nHello.\n", 1, FENCED),
        ("\n" + GREETING, 1, FENCED),
        (FRONT, 1, FENCED),
        (FRONT + "+++", 1, FENCED),
        (b'+++\nname = "\xff"\n+++\nHello.\n', 1, "is not UTF-8"),
        (FRONT + "tags = [\n" + PLAIN, 5, "the front matter is not TOML"),
        (FRONT.replace('title = "Greet"', "title = Greet") + PLAIN, 3, "the front matter is not TOML"),
        (FRONT + 'title = "Again"\n' + PLAIN, 5, "the front matter is not TOML"),
        (FRONT.replace('name = "greet"\n', "") + PLAIN, 1, "name must be text"),
        (FRONT.replace('title = "Greet"\n', "") + PLAIN, 1, "title must be text"),
        (FRONT.replace('"Say hello."', '" "') + PLAIN, 4, "description must be text"),
        (FRONT.replace('"Greet"', "7") + PLAIN, 3, "title must be text"),
        (FRONT.replace('"greet"', '"Greet"') + PLAIN, 2, NAMED),
        (FRONT.replace('"greet"', '"1st"') + PLAIN, 2, NAMED),
        (FRONT.replace('"greet"', '"greet\\n"') + PLAIN, 2, NAMED),
        (FRONT.replace('"greet"', f'"{"g" * 31}"') + PLAIN, 2, NAMED),
        (
            FRONT + 'model = "best"\n' + PLAIN,
            5,
            "model is not known: name, title, description and arguments are",
        ),
        (GREETING.replace(", {{how}}", ""), 6, "how is not used in the text"),
        (
            FRONT + "+++\nHello {{whom}}.\n",
            1,
            "the text has {{whom}}, and no argument is so named",
        ),
        (FRONT + "+++\n", 6, "there is no text"),
        (FRONT + "+++\n \n\n", 6, "there is no text"),
        (FRONT + 'arguments = "whom"\n' + PLAIN, 5, SHAPED),
        (FRONT + 'arguments = ["whom"]\n' + PLAIN, 5, SHAPED),
        (FRONT + 'arguments = [{ description = "Who" }]\n' + PLAIN, 5, SHAPED),
        (FRONT + 'arguments = [{ name = "whom" }]\n' + PLAIN, 5, SHAPED),
        (FRONT + 'arguments = [{ name = "Whom", description = "Who" }]\n' + PLAIN, 5, SHAPED),
        (FRONT + 'arguments = [{ name = "whom", description = "Who", required = "yes" }]\n' + PLAIN, 5, SHAPED),
        (FRONT + 'arguments = [{ name = "whom", description = "Who", type = "text" }]\n' + PLAIN, 5, SHAPED),
        (GREETING.replace('"how"', '"whom"'), 6, SHAPED),
    ],
)
def test_a_file_that_cannot_be_used_is_told_of_by_its_line(
    content: str | bytes, line: int, problem: str, folder: Path
) -> None:
    file = folder / "greet.md"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidPrompt) as caught:
        Prompts(folder)
    assert str(caught.value) == f"{file}:{line}: {problem}"


def test_an_argument_whose_name_has_a_digit_has_its_place(folder: Path) -> None:
    (folder / "greet.md").write_text(GREETING.replace("how", "way2"), "utf-8")
    got = Prompts(folder).get("greet", {"whom": "a", "way2": "b"})
    assert text_of(got) == "Greet a, b, and a again.\n"


@pytest.mark.parametrize("key", ["name", "description"])
def test_a_key_that_is_missing_is_not_looked_for_among_the_arguments(key: str, folder: Path) -> None:
    file = folder / "greet.md"
    lines = [text for text in FRONT.splitlines(keepends=True) if not text.startswith(key)]
    file.write_text("".join(lines) + GREETING[ARGUMENTS:], "utf-8")
    with pytest.raises(InvalidPrompt) as caught:
        Prompts(folder)
    assert str(caught.value) == f"{file}:1: {key} must be text"


def build(tree: Path, dist: Path, *options: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(dist), *options]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist, built without a network from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree")
    left_out = shutil.ignore_patterns(".*", "tests", "__pycache__", "_prompts")
    shutil.copytree(ROOT, tree, ignore=left_out, dirs_exist_ok=True)
    build(tree, tree / "dist")
    return tree / "dist"


def held(folder: Path) -> dict[str, bytes]:
    """What the wheel in `folder` holds, by name."""
    [file] = folder.glob("*.whl")
    with zipfile.ZipFile(file) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def test_a_checkout_takes_the_folder_beside_the_package() -> None:
    assert shipped() == ROOT / "prompts"
    assert {file.name for file in shipped().iterdir()} == {f"{name}.md" for name in SHIPPED}


@pytest.mark.requirement("PROMPT-3")
def test_the_wheel_has_every_prompt_inside_the_package(dist: Path) -> None:
    texts = {name: text.decode() for name, text in held(dist).items() if name.endswith(".md")}
    assert texts == {
        f"amo_mcp/_prompts/{name}.md": (ROOT / "prompts" / f"{name}.md").read_text("utf-8") for name in SHIPPED
    }


@pytest.mark.requirement("PROMPT-3")
def test_what_is_installed_from_the_wheel_has_its_prompts(dist: Path, tmp_path: Path) -> None:
    [file] = dist.glob("*.whl")
    shutil.unpack_archive(file, tmp_path, "zip")
    code = (
        "import amo_mcp; from amo_mcp.server.prompts import Prompts;"
        "print(amo_mcp.__file__, *(item.name for item in Prompts().listed()), sep='\\n')"
    )
    uncovered = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**uncovered, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "amo_mcp" / "__init__.py"), *SHIPPED]


def test_the_sdist_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    [file] = dist.glob("*.tar.gz")
    shutil.unpack_archive(file, tmp_path, "gztar", filter="data")
    [tree] = tmp_path.iterdir()
    assert {item.stem for item in (tree / "prompts").iterdir()} == set(SHIPPED)
    build(tree, tmp_path / "dist", "--target", "wheel")
    assert held(tmp_path / "dist") == held(dist)
