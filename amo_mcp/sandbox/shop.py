"""The shop: a coffee shop's account in need of tidying, or the same account before anything was set up in it.

Its segments were left by several people over several years: duplicates, empty ones, repeated colors, and two whose
first letter is Latin and not Cyrillic (69 and 93). The system statuses have colors outside the palette, as in the
reference's example. The account is Russian, in Moscow's time zone, and its users read English, as who tries the sandbox
does. Its 400 customers, some of them twice, are as many in each segment as its `customers_count` says. It is kept in
the form of a state file.
"""

from pathlib import Path

from amo_mcp.sandbox.account import Account, by_id

_FILE = Path(__file__).with_name("shop.json")


def account(mode: str, *, empty: bool = False) -> Account:
    """A new account in `mode`: the shop, or when `empty` system statuses and nothing else."""
    account = Account.read(_FILE.read_bytes())
    account.mode = mode
    if empty:
        account.fields, account.segments, account.customers = {}, {}, {}
        system = [status for status in account.statuses.values() if status["is_default"]]
        account.statuses = by_id({**status, "sort": sort} for sort, status in enumerate(system))
    return account
