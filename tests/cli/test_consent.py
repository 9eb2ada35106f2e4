"""Signing in on the consent page in a browser, whose redirect is caught on this machine."""

import webbrowser
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from amo_mcp.cli import consent
from tests.cli.machine import Terminal, free_port

pytestmark = pytest.mark.usefixtures("_no_keychain")

DONE = "amo-mcp is done here. You can close this page and go back to the terminal."
NOT_OURS = "This is not the redirect that amo-mcp waits for."


class Browser:
    """A browser that `webbrowser.open` opens, in the hands of somebody who does what `visit` does."""

    def __init__(self, visit: Callable[["Browser", str], None]) -> None:
        self._visit = visit
        self.opened: list[str] = []
        self.seen: list[tuple[int, str]] = []

    def open(self, page: str) -> bool:
        self.opened.append(page)
        self._visit(self, page)
        return True

    def go(self, address: str) -> None:
        with httpx2.Client(trust_env=False, follow_redirects=True, timeout=10.0) as client:
            answer = client.get(address)
        self.seen.append((answer.status_code, answer.text))

    @staticmethod
    def state(page: str) -> str:
        return parse_qs(urlsplit(page).query)["state"][0]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Browser, str], None]], Browser]:
    def made(visit: Callable[[Browser, str], None]) -> Browser:
        browser = Browser(visit)
        monkeypatch.setattr(webbrowser, "open", browser.open)
        monkeypatch.setattr(consent, "WAIT_FOR_CONSENT", 10.0)
        return browser

    return made


Make = Callable[[Callable[[Browser, str], None]], Browser]


def allow(browser: Browser, page: str) -> None:
    browser.go(f"{page}&sandbox_answer=allow")


class TestConsent:
    @pytest.mark.requirement("COMMAND-6")
    def test_granting_access_in_the_browser_signs_in(self, terminal: Terminal, browser: Make) -> None:
        used = browser(allow)
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (0, "")
        [page] = used.opened
        state = Browser.state(page)
        assert page == f"{terminal.url}/oauth?client_id=sandbox-integration&state={state}&mode=popup"
        assert len(state) >= 32
        assert result.stdout == (
            f"Grant access on this page:\n  {page}\n"
            f"Signed in to {terminal.url}; the tokens are kept in {terminal.file}.\n"
        )
        assert used.seen == [(200, DONE)]
        assert terminal.state.signed_in() == [terminal.url]
        assert terminal.kept is not None
        assert terminal.sandbox.oauth.granted_by(terminal.kept.access_token.get_secret_value())

    def test_every_sign_in_has_a_state_of_its_own(self, terminal: Terminal, browser: Make) -> None:
        used = browser(allow)
        for _ in range(2):
            assert terminal.run("login").exit_code == 0
        assert len({Browser.state(page) for page in used.opened}) == 2

    def test_without_an_address_the_redirect_says_whose_account_it_is(self, terminal: Terminal, browser: Make) -> None:
        def allow_here(used: Browser, page: str) -> None:
            used.go(page.replace("https://www.amocrm.ru", terminal.url) + "&sandbox_answer=allow")

        used = browser(allow_here)
        result = terminal.run("login", AMO_BASE_URL="")
        assert result.exit_code == 0
        assert result.stdout.startswith(
            "AMO_BASE_URL is not set, so this is amoCRM's page; for Kommo set it: https://example.kommo.com\n"
        )
        assert used.opened[0].startswith("https://www.amocrm.ru/oauth?client_id=sandbox-integration&state=")
        assert terminal.state.signed_in() == [terminal.url]

    def test_a_redirect_without_our_state_is_ignored(self, terminal: Terminal, browser: Make) -> None:
        def forge_first(used: Browser, page: str) -> None:
            here, state = terminal.sandbox.oauth.redirect_uri, Browser.state(page)
            used.go(f"{here}?code=evil&referer=evil.example&state=x{state}")
            used.go(f"{here}?code=evil&referer=evil.example&state=%D1%85")
            used.go(f"{here}?code=evil&referer=evil.example")
            used.go(f"{here}?error=access_denied")
            used.go(f"{here}?state={state}")
            used.go(f"{here}?code=&state={state}")
            allow(used, page)

        used = browser(forge_first)
        assert terminal.run("login").exit_code == 0
        assert used.seen == [(400, NOT_OURS)] * 6 + [(200, DONE)]
        assert terminal.requests == ["POST /oauth2/access_token"]

    def test_other_paths_of_the_redirect_address_are_not_found(self, terminal: Terminal, browser: Make) -> None:
        def stray(used: Browser, page: str) -> None:
            used.go(terminal.sandbox.oauth.redirect_uri.replace("/callback", f"/?state={Browser.state(page)}&code=x"))
            allow(used, page)

        used = browser(stray)
        assert terminal.run("login").exit_code == 0
        assert [status for status, _ in used.seen] == [404, 200]

    def test_denying_access_signs_nobody_in(self, terminal: Terminal, browser: Make) -> None:
        used = browser(lambda used, page: used.go(f"{page}&sandbox_answer=deny"))
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: access was denied on the consent page\n",
        )
        assert used.seen == [(200, DONE)]
        assert terminal.nobody_is_signed_in()

    @pytest.mark.parametrize(
        "referer",
        ["evil.example", "amocrm.ru.evil.example", "user@shop.amocrm.ru", "shop.amocrm.ru/x", "", "127.0.0.1:0"],
    )
    def test_an_account_where_no_token_may_be_sent_is_refused(
        self, referer: str, terminal: Terminal, browser: Make
    ) -> None:
        def from_elsewhere(used: Browser, page: str) -> None:
            asked = httpx2.QueryParams({"code": "x", "state": Browser.state(page), "referer": referer})
            used.go(f"{terminal.sandbox.oauth.redirect_uri}?{asked}")

        browser(from_elsewhere)
        result = terminal.run("login", AMO_BASE_URL="")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: the redirect named an account outside of amocrm.ru, amocrm.com and kommo.com\n",
        )
        assert terminal.nobody_is_signed_in()
        assert terminal.requests == []

    def test_access_granted_by_another_account_than_the_named_one_is_refused(
        self, terminal: Terminal, browser: Make
    ) -> None:
        def as_another(used: Browser, page: str) -> None:
            here = terminal.sandbox.oauth.redirect_uri
            used.go(f"{here}?code=x&state={Browser.state(page)}&referer=Other.amocrm.ru")

        browser(as_another)
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (
            1,
            (f"Error: cannot sign in: access was granted by https://other.amocrm.ru, not by {terminal.url}\n"),
        )
        assert terminal.nobody_is_signed_in()

    def test_a_consent_page_that_nobody_answers_is_given_up(
        self, terminal: Terminal, browser: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert consent.WAIT_FOR_CONSENT == 600.0
        browser(lambda *_: None)
        monkeypatch.setattr(consent, "WAIT_FOR_CONSENT", 0.0)
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: nobody answered the consent page in time; if it shows an error, check "
            "AMO_CLIENT_ID\n",
        )

    def test_the_redirect_can_come_to_the_ipv6_loopback_address(self, terminal: Terminal, browser: Make) -> None:
        terminal.sandbox.oauth.redirect_uri = f"http://[::1]:{free_port()}/callback"
        browser(allow)
        assert terminal.run("login", AMO_REDIRECT_URI=terminal.sandbox.oauth.redirect_uri).exit_code == 0
