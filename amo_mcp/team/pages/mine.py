"""What is somebody's own: the questions that wait for them, and their personal tokens."""

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.responses import Response

from amo_mcp.confirmation.approvals import Approval
from amo_mcp.keys import CannotDecrypt, Encrypted, Keys
from amo_mcp.language import Language, counted_message, message
from amo_mcp.team.approval.asker import PATH
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.browser import Cookie
from amo_mcp.team.page import MINE, language_of
from amo_mcp.team.pages.visit import Notices, Visit
from amo_mcp.team.pages.words import ROLE_WORDS
from amo_mcp.team.people import READ, SCOPES, PeopleStore, Person, TooManyTokens, new_token
from amo_mcp.text import is_invisible, quote

MAX_LABEL = 64
"""Characters of what somebody calls a token of theirs."""

DAYS = (7, 30, 90, 365)
"""For how many days a personal token can be good."""

_SHOWN_SECONDS = 120.0
"""Seconds for which a new token waits for the page that shows it."""

_NOTICES: Notices = {
    "revoked": message("The token was revoked: it is good no longer."),
    "gone": message("Nothing was changed: there is no such token of yours, or it was good no longer."),
    "label": message("No token was made: its name has to be 1 to 64 characters that can be seen."),
    "many": message("No token was made: you have as many as you can have. Revoke those that you no longer need."),
    "wrong": message("Nothing was changed: the form was not filled in as it can be."),
}


@dataclass(frozen=True)
class Mine:
    """The page of what is somebody's own.

    Attributes:
        pending: what waits for an answer and somebody may see.
        address: where clients call the server.
        keys: encrypt a new token on its way to the page that shows it.
        cookie: brings it there.
    """

    people: PeopleStore
    pending: Callable[[Person], Awaitable[list[Question]]]
    address: str
    keys: Keys
    cookie: Cookie
    clock: Callable[[], float] = time.time

    async def __call__(self, visit: Visit) -> Response:
        """The page, or what comes of a form on it."""
        match visit.form.get("do", ""):
            case "":
                return await self._show(visit)
            case "make":
                return await self._make(visit)
            case "revoke":
                is_revoked = await self.people.revoke(visit.form.get("id", ""), visit.by, of=visit.person.id)
                return visit.to(MINE, "revoked" if is_revoked else "gone")
        return visit.to(MINE, "wrong")

    async def _show(self, visit: Visit) -> Response:
        now, tokens = self.clock(), await self.people.tokens_of(visit.person.id)
        language = language_of(visit.request)
        response = visit.page(
            "mine.html",
            _NOTICES,
            questions=[(one, _in(language, one.approval)) for one in await self.pending(visit.person)],
            tokens=[token for token in tokens if token.state(now) == "good"],
            ended=[(token, token.state(now)) for token in tokens if token.state(now) != "good"],
            new=self._new(visit),
            address=self.address,
            days=[(count, counted_message("{count} day", "{count} days", count)) for count in DAYS],
            max_label=MAX_LABEL,
            role_words=ROLE_WORDS,
            answered_at=PATH,
            quote=quote,
        )
        if self.cookie.of(visit.request):
            self.cookie.forget(response)
        return response

    async def _make(self, visit: Visit) -> Response:
        label = " ".join(visit.form.get("label", "").split())
        scope, days = visit.form.get("scope", ""), visit.form.get("days", "")
        if not 0 < len(label) <= MAX_LABEL or any(map(is_invisible, label)):
            return visit.to(MINE, "label")
        if scope not in ("read", "write") or days not in map(str, DAYS):
            return visit.to(MINE, "wrong")
        token_id, token, digest = new_token()
        allowed = READ if scope == "read" else " ".join(SCOPES)
        try:
            await self.people.add_own_token(token_id, digest, visit.by, label=label, scope=allowed, days=float(days))
        except TooManyTokens:
            return visit.to(MINE, "many")
        response = visit.to(MINE, "made")
        encrypted = self.keys.encrypt(token.encode(), _place(visit.person))
        sealed = base64.urlsafe_b64encode(encrypted.ciphertext).decode()
        self.cookie.keep(response, f"{encrypted.key_id}:{sealed}")
        return response

    def _new(self, visit: Visit) -> str | None:
        """The token that was just made by the person in this browser, whole."""
        key_id, _, sealed = self.cookie.of(visit.request).partition(":")
        try:
            encrypted = Encrypted(key_id, base64.urlsafe_b64decode(sealed))
            return self.keys.decrypt(encrypted, _place(visit.person)).decode()
        except (CannotDecrypt, binascii.Error, ValueError):
            return None


def new_token_cookie(issuer: str) -> Cookie:
    """What brings a new token from the form to the page that shows it, once."""
    return Cookie("amo-new-token", issuer, _SHOWN_SECONDS)


def _in(language: Language, approval: Approval) -> Approval:
    """What is asked, in the language of who looks."""
    return replace(approval, reader=replace(approval.reader, language=language))


def _place(person: Person) -> str:
    return f"new token {person.id}"
