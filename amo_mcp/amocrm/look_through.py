"""Looking through the customers of an account, page after page: who is in a segment, nothing else tells."""

from dataclasses import dataclass, field

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Customer
from amo_mcp.amocrm.reading import PAGE_SIZE

MAX_PAGES = 20
"""Pages of customers that one call reads at most: 5,000 customers, and some three seconds at the usual pace."""


@dataclass
class LookThrough:
    """Reads the customers from page `page` on.

    A page that is not full is the last one, and so is one that does not tell a next page where others did. Where the
    API ignores the number of the page it answers the first one again, and nothing more can be read.

    Attributes:
        page: the page that is read next.
        status_id: the status whose customers are asked for, where the account has that filter; the others come too
            where it has not.
        requests: how many pages were read.
        ended: whether there is nothing more to read.
        repeats: whether it ended because pages repeat, and not every customer was seen.
    """

    client: AmoClient
    page: int = 1
    status_id: int | None = None
    requests: int = 0
    ended: bool = False
    repeats: bool = False
    _seen: set[int | None] = field(default_factory=set)
    _tells_next: bool = False

    async def read(self) -> Listing[Customer]:
        """The customers of the next page, none where pages repeat; each call can raise `AmoError`.

        Where customers come or go meanwhile, one may be on two pages, or on none.
        """
        page = await self.client.customers(self.page, status_id=self.status_id)
        customers = page.customers
        self.requests += 1
        self._tells_next |= page.tells_next
        new = {*(customer.id for customer in customers), *customers.unreadable} - self._seen
        self.repeats = page.number != self.page or (customers.size > 0 and not new)
        is_full = customers.size >= PAGE_SIZE and not self._tells_next
        self.ended = self.repeats or not (page.tells_next or is_full)
        self.page += 1
        if self.repeats:
            return Listing()
        self._seen |= new
        return customers
