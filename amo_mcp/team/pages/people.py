"""Who is here, for admins: roles, and who is shut out or let in again."""

from dataclasses import dataclass
from typing import get_args

from starlette.responses import Response

from amo_mcp.language import message
from amo_mcp.team.page import PEOPLE
from amo_mcp.team.pages.visit import Notices, Visit
from amo_mcp.team.pages.words import ROLE_NAMES, ROLE_WORDS
from amo_mcp.team.people import ROLES, LastAdmin, NameTaken, PeopleStore, Role, UnknownPerson
from amo_mcp.text import quote

_NOTICES: Notices = {
    "role": message("The role was changed: it counts from the next request on."),
    "removed": message("They were removed: none of their tokens and sign-ins is good any more."),
    "let_in": message("They may sign in again, with the role that they had."),
    "last": message("Nothing was changed: nobody would be an admin of this server any more."),
    "unknown": message("Nothing was changed: meanwhile somebody else has changed something about them. Look again."),
    "name": message("Nothing was changed: somebody else has that name by now."),
    "wrong": message("Nothing was changed: the form was not filled in as it can be."),
}


@dataclass(frozen=True)
class People:
    """The page of everybody."""

    people: PeopleStore

    async def __call__(self, visit: Visit) -> Response:
        """The page, or what comes of a form on it."""
        if visit.form:
            return visit.to(PEOPLE, await self._done(visit))
        everybody = await self.people.everybody()
        return visit.page(
            "people.html",
            _NOTICES,
            known=[one for one in everybody if one.removed is None],
            removed=[one for one in everybody if one.removed is not None],
            roles=ROLES,
            role_names=ROLE_NAMES,
            role_words=ROLE_WORDS,
            quote=quote,
        )

    async def _done(self, visit: Visit) -> str:
        """A word for what came of a form."""
        person_id, by = visit.form.get("id", ""), visit.by
        try:
            match visit.form.get("do"), _role(visit.form.get("role", "")):
                case "role", str() as role:
                    await self.people.give_role(person_id, role, by)
                    return "role"
                case "remove", _:
                    await self.people.shut_out(person_id, by)
                    return "removed"
                case "let_in", _:
                    await self.people.let_in(person_id, by)
                    return "let_in"
        except UnknownPerson:
            return "unknown"
        except LastAdmin:
            return "last"
        except NameTaken:
            return "name"
        return "wrong"


def _role(said: str) -> Role | None:
    return next((role for role in get_args(Role) if role == said), None)
