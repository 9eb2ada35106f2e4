"""The page where a team's question is answered, by who is signed in in a browser and may do it.

The address of a page lets nobody do anything. An answer is a form of the page itself, sent by the browser of somebody
who may give it; no call of a tool leads here. It is taken only once its buttons were on the screen for a moment:
another page could have opened this one under a finger that was about to press.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.changes.runs import Runs
from amo_mcp.confirmation.outcomes import HARMLESS
from amo_mcp.confirmation.waiting import SETTLE, Answer
from amo_mcp.language import Message, message, texts
from amo_mcp.pages.guard import HEADERS
from amo_mcp.team.approval.asker import PATH
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.approval.rules import Approvals
from amo_mcp.team.approval.words import where, words_of
from amo_mcp.team.browser import Browsers, actor_of
from amo_mcp.team.page import above, language_of, notice, page
from amo_mcp.team.people import Person, includes
from amo_mcp.text import quote, sanitize

MAX_COMMENT = 500
"""Characters of what somebody says about their answer."""

_RELOAD_SECONDS = {"agreed": 2, "running": 5}
"""Seconds after which a page looks again whose question goes on by itself; longer where it has a button, since what has
the focus loses it then."""

_ANSWERS: Mapping[str, Answer] = {"yes": "yes", "no": "no"}

_NOT_YOURS = message("You may not see this question")
_ROLE = message("It is somebody else's. Approvers and admins of this server see what others ask, and you are neither.")
_NONE = message("There is no such question")
_FORGOTTEN = message("It ended some time ago and is no longer kept, or the address is not complete.")
_NOT_RECORDED = message("Your answer was not recorded")
_SIGNED_OUT = message("You are no longer signed in in this browser. Open the page again, and sign in.")
_NOT_FROM_HERE = message(
    "It did not come from the page of the question, in the browser that you are signed in in. Open the page again, and "
    "answer there."
)
_MAY_NOT = message("You may not agree to this. An approver or an admin has to who did not ask for it.")


class ApprovalPages:
    """The pages of all questions.

    Args:
        browsers: says who is signed in.
        runs: the changes of the account, as they go on.
    """

    def __init__(self, approvals: Approvals, browsers: Browsers, runs: Runs) -> None:
        self._approvals = approvals
        self._store = approvals.store
        self._browsers = browsers
        self._runs = runs

    def routes(self) -> Sequence[BaseRoute]:
        """Where they are."""
        path = f"{PATH}/{{page}}"
        return [
            Route(path, self._show, methods=["GET"]),
            Route(path, self._answer, methods=["POST"]),
            Route(f"{path}/stop", self._stop, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        signed_in = await self._browsers.person(request)
        if signed_in is None:
            return self._browsers.sign_in(request)
        question = await self._question(request, signed_in.person)
        return question if isinstance(question, Response) else await self._page(request, signed_in.person, question)

    async def _answer(self, request: Request) -> Response:
        """A button was pressed."""
        form = await request.form()
        pressed = await self._pressed(request, form)
        if isinstance(pressed, Response):
            return pressed
        person, question = pressed
        answer = _ANSWERS.get(str(form.get("answer", "")))
        if answer not in self._approvals.answers(person, question):
            return self._told(request, person, _NOT_RECORDED, _MAY_NOT)
        assert answer is not None, "it is one of those"
        if not _was_seen(form, self._store.clock()):
            return await self._page(request, person, question, note="soon")
        comment = sanitize(str(form.get("comment", "")), MAX_COMMENT)
        if await self._store.answer(question, answer, actor_of(request, person), comment):
            return _to(request)
        question = await self._store.on_page(question.page) or question
        return await self._page(request, person, question, HTTPStatus.CONFLICT, note="late")

    async def _stop(self, request: Request) -> Response:
        """The button was pressed that stops what goes on, between two steps."""
        pressed = await self._pressed(request, await request.form())
        if isinstance(pressed, Response):
            return pressed
        person, question = pressed
        await self._store.stop(question, actor_of(request, person))
        return _to(request, "?stopping")

    async def _pressed(self, request: Request, form: FormData) -> tuple[Person, Question] | Response:
        """Who pressed a button of which question; else why nothing comes of it."""
        signed_in = await self._browsers.person(request)
        if signed_in is None:
            return notice(request, _NOT_RECORDED, _SIGNED_OUT)
        if not self._browsers.is_ours(request, str(form.get("token", ""))):
            return self._told(request, signed_in.person, _NOT_RECORDED, _NOT_FROM_HERE)
        question = await self._question(request, signed_in.person)
        return question if isinstance(question, Response) else (signed_in.person, question)

    async def _question(self, request: Request, person: Person) -> Question | Response:
        """The question that is asked for; else what is to be told to who may not see it, whether it is there or not."""
        question = await self._approvals.seen(person, request.path_params["page"])
        if question is not None:
            return question
        if not includes(person.role, "approver"):
            return self._told(request, person, _NOT_YOURS, _ROLE)
        return self._told(request, person, _NONE, _FORGOTTEN, HTTPStatus.NOT_FOUND)

    def _told(
        self, request: Request, person: Person, heading: Message, text: Message, status: int = HTTPStatus.FORBIDDEN
    ) -> Response:
        return notice(request, heading, text, status, person=person, token=self._browsers.form_token(request))

    async def _page(
        self, request: Request, person: Person, question: Question, status: int = HTTPStatus.OK, note: str = ""
    ) -> Response:
        now, language = self._store.clock(), language_of(request)
        state = None
        if question.change_id is not None:
            # While amoCRM cannot be asked which account this is, the page says what it knows.
            with suppress(AmoError):
                state = await self._runs.state(question.change_id)
        found = where(question, None if state is None else state.record, now)
        reader = replace(question.approval.reader, language=language)
        shown: dict[str, Any] = {
            "item": replace(question, approval=replace(question.approval, reader=reader)),
            "found": found,
            "words": words_of(question, found, person, texts(language)),
            "answers": self._approvals.answers(person, question),
            "harmless": HARMLESS,
            **above(person, self._browsers.form_token(request)),
            "note": note,
            "stopping": "stopping" in request.query_params,
            "now": now,
            "quote": quote,
            "max_comment": MAX_COMMENT,
        }
        response = page(request, "approve.html", status, **shown)
        if found.stage in _RELOAD_SECONDS:
            response.headers["refresh"] = str(_RELOAD_SECONDS[found.stage])
        elif found.stage == "waiting":
            response.headers["refresh"] = str(math.ceil(question.approval.expires - now) + 1)
        return response


def _was_seen(form: FormData, now: float) -> bool:
    """Whether the buttons were on the screen for long enough; `shown` is when they came there."""
    try:
        return now >= float(str(form.get("shown", ""))) + SETTLE
    except ValueError:
        return False


def _to(request: Request, query: str = "") -> Response:
    """To the page of the question, as it is now."""
    address = f"{PATH}/{request.path_params['page']}{query}"
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, HEADERS)
