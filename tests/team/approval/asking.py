"""People of a team, and questions that they ask, straight in the database."""

from amo_mcp.amocrm.models import Segment
from amo_mcp.amocrm.zones import zone_of
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Delete
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.questions import PostgresQuestionStore
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.people import Person, Role, new_token

CHANGE = PendingChange((Delete(Segment(id=51, name="VIP")),))
READER = Reader("Кофейня", "ru", zone_of("Europe/Moscow", ""))


async def known(people: PostgresPeopleStore, name: str, role: Role = "approver") -> Person:
    token_id, _, digest = new_token()
    return (await people.add_token(token_id, digest, name, role, None)).person


async def asked_by(questions: PostgresQuestionStore, asker: Person, change: PendingChange = CHANGE) -> Question:
    return await questions.ask(asker, "cursor 1.0", "delete_segment", "digest", change, READER)
