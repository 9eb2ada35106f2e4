"""Which way a person is asked: by what the operator chose, what the client declares, and where the server runs."""

from dataclasses import dataclass
from typing import Literal

from amo_mcp.confirmation.errors import CannotAsk

Channel = Literal["dialog", "page", "chat"]
"""How a person is asked: by the client's form, by a page in their browser, or by the model in the conversation."""

Choice = Literal["auto", "dialog", "page", "chat"]
"""The operator's choice, `AMO_CONFIRM`; `auto` takes the first way that there is."""

Carrier = Literal["stdio", "loopback", "remote"]
"""How a client reaches the server: as its own child, over HTTP on this machine, or over HTTP from another one."""

_NOBODY = "This needs a person's confirmation, and "
_CHAT = "AMO_CONFIRM=chat (the model then agrees in the person's name)"


@dataclass(frozen=True)
class Client:
    """What a client can show a person.

    Attributes:
        form: a dialog with a form.
        url: a link that the person opens (URL elicitation).
    """

    form: bool = False
    url: bool = False


@dataclass(frozen=True)
class Ways:
    """The ways of one server.

    Attributes:
        choice: what the operator chose.
        carrier: how the client reaches the server.
        opens: whether this machine can open a page in a person's browser.
        listens: whether there is a page; False where it was tried in vain.
    """

    choice: Choice
    carrier: Carrier
    opens: bool
    listens: bool = True

    def channel(self, client: Client) -> Channel:
        """The way to ask the person behind a client.

        Raises:
            CannotAsk: there is none.
        """
        page = self.listens and self.carrier != "remote" and (client.url or self.opens)
        match self.choice:
            case "chat":
                return "chat"
            case "dialog" | "auto" if client.form:
                return "dialog"
            case "page" | "auto" if page:
                return "page"
            case "auto" if self.carrier == "stdio":
                return "chat"
        raise CannotAsk(_NOBODY + self._missing, self.way_out)

    @property
    def _missing(self) -> str:
        no_dialog, no_page = "the client cannot show a dialog", "no browser can be opened from this server"
        if self.carrier == "remote":
            no_page = "nobody can sign in to a page of this server"
        return {"dialog": no_dialog, "page": no_page}.get(self.choice, f"{no_dialog}, and {no_page}") + "."

    @property
    def way_out(self) -> str:
        """What helps where a client shows no dialog, or answers it by itself."""
        if self.carrier == "remote":
            client = "a client of the protocol revision 2026-07-28 that shows dialogs (elicitation)"
            asked = (
                "The operator can let people sign in with amoCRM (AMO_CLIENT_ID): a page of this server then asks "
                f"them; or set AMO_CONFIRM=dialog: {client} is then asked."
            )
            return asked if self.choice == "page" else f"Use {client}."
        if self.opens and self.choice != "page":
            return "The operator can set AMO_CONFIRM=page: the person is then asked in their own browser."
        if self.choice == "dialog":
            return f"Use a client that shows dialogs (elicitation), or have the operator set {_CHAT}."
        if self.choice == "page":
            return f"The operator can start the server where a browser opens, or set AMO_CONFIRM=dialog or {_CHAT}."
        return (
            "Use a client that shows dialogs (elicitation), or have the operator start the server where a browser "
            f"opens, or set {_CHAT}."
        )
