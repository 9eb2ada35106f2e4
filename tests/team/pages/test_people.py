"""The page of everybody, for admins."""

import anyio
import pytest

from amo_mcp.team.audit import Actor
from amo_mcp.team.people import MAX_REMOVED, LastAdmin, look_up, new_token
from tests.team.pages.office import Office

pytestmark = pytest.mark.anyio

ADMIN = Actor("1:Ольга", "Ольга")


@pytest.mark.requirement("TEAM-44")
async def test_an_admin_gives_somebody_another_role(office: Office) -> None:
    admin, anna = await office.visitor("Ольга", "admin"), await office.known("Анна")
    said = await admin.done("/people", do="role", id=anna.id, role="approver")
    assert said == "The role was changed: it counts from the next request on."
    assert [(one.name, one.role) for one in await office.people.people()] == [("Анна", "approver"), ("Ольга", "admin")]
    [told] = await office.audit.page(10)
    assert told.entry.by.name == "Ольга"
    [touched] = told.entry.touched
    assert (touched.before, touched.after) == ({"name": "Анна", "role": "viewer"}, {"name": "Анна", "role": "approver"})


@pytest.mark.requirement("TEAM-44")
async def test_who_is_removed_has_no_good_token_no_sign_in_and_no_browser_left(office: Office) -> None:
    admin, anna = await office.visitor("Ольга", "admin"), await office.visitor("Анна")
    token_id, token, digest = new_token()
    by = Actor(anna.person.id, "Анна")
    await office.people.add_own_token(token_id, digest, by, label="x", scope="segments:read", days=7)
    await office.database.execute(
        "INSERT INTO sign_ins VALUES ('s', $1, 'c', 'Claude', 'segments:read', 'r', 0, 0)", anna.person.id
    )
    assert "none of their tokens" in await admin.done("/people", do="remove", id=anna.person.id)
    assert await look_up(office.people, token) is None
    assert (await anna.get("/mine")).status_code == 303
    assert "«Анна»" in (await admin.text("/people")).partition("Removed")[2]

    assert "may sign in again" in await admin.done("/people", do="let_in", id=anna.person.id)
    assert [one.name for one in await office.people.people()] == ["Анна", "Ольга"]
    assert await look_up(office.people, token) is None
    assert (await anna.get("/mine")).status_code == 303
    assert await office.database.fetchval("SELECT ended FROM sign_ins") == office.clock.now
    assert [what for _, what, _, _ in await office.told()] == ["made", "removed", "let_in"]


@pytest.mark.requirement("TEAM-44")
@pytest.mark.parametrize("form", [{"do": "role", "role": "viewer"}, {"do": "remove"}])
async def test_the_last_admin_stays_one(form: dict[str, str], office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    said = "Nothing was changed: nobody would be an admin of this server any more."
    assert await admin.done("/people", id=admin.person.id, **form) == said
    assert [one.role for one in await office.people.people()] == ["admin"]
    assert await office.told() == []
    assert "The role was changed" in await admin.done("/people", id=admin.person.id, do="role", role="admin")
    await office.known("Борис", "admin")
    assert (await admin.post("/people", id=admin.person.id, **form)).headers["location"] in (
        "/people?told=role",
        "/people?told=removed",
    )


@pytest.mark.requirement("TEAM-44")
async def test_of_two_admins_who_shut_each_other_out_at_once_one_stays(office: Office) -> None:
    one, other = await office.known("Анна", "admin"), await office.known("Борис", "admin")
    refused: list[str] = []

    async def shut_out(person_id: str) -> None:
        try:
            await office.people.shut_out(person_id, ADMIN)
        except LastAdmin:
            refused.append(person_id)

    for _ in range(5):
        async with anyio.create_task_group() as group:
            group.start_soon(shut_out, one.id)
            group.start_soon(shut_out, other.id)
        assert len(refused) == len(await office.people.people()) == 1
        [gone] = {one.id, other.id} - {*refused}
        await office.people.let_in(gone, ADMIN)
        refused.clear()


@pytest.mark.parametrize(
    "form",
    [
        {"do": "role", "id": "1:nobody", "role": "viewer"},
        {"do": "remove", "id": "1:nobody\0"},
        {"do": "let_in", "id": "1:Ольга"},
        {"do": "remove"},
    ],
)
async def test_who_is_not_there_is_told(form: dict[str, str], office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    assert "somebody else has changed something about them" in await admin.done("/people", **form)


@pytest.mark.parametrize("form", [{"do": "role", "id": "1:Ольга", "role": "god"}, {"do": "x"}, {"id": "1:Ольга"}])
async def test_a_form_that_is_not_filled_in_as_it_can_be_changes_nothing(form: dict[str, str], office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    assert "was not filled in" in await admin.done("/people", **form)
    assert await office.told() == []


async def test_somebody_whose_name_was_taken_is_not_let_in(office: Office) -> None:
    admin, anna = await office.visitor("Ольга", "admin"), await office.known("Анна")
    await office.people.remove("Анна")
    await office.database.execute("INSERT INTO people (id, name, role, made) VALUES ('2', 'Анна', 'viewer', 0)")
    assert "somebody else has that name" in await admin.done("/people", do="let_in", id=anna.id)


async def test_everybody_is_listed_with_when_a_program_of_theirs_called_last(office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    token_id, _, digest = new_token()
    await office.people.add_token(token_id, digest, "Борис", "editor", None)
    await office.people.note_use(token_id)
    shown = await admin.text("/people")
    assert "«Борис»" in shown
    assert "last seen 2023-11-15 01:13 (UTC+03:00)" in shown
    assert "«Ольга» (you)" in shown


async def test_so_many_who_were_removed_are_listed_the_last_ones_first(office: Office) -> None:
    for number in range(MAX_REMOVED + 1):
        person = await office.known(f"{number}")
        office.clock.now += 1
        await office.people.shut_out(person.id, ADMIN)
    listed = await office.people.everybody()
    assert [one.person.name for one in listed] == [f"{number}" for number in range(MAX_REMOVED, 0, -1)]
