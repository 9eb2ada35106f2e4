"""Somebody who is asked to sign in, for programs of other people: `BROWSER` of a client that opens one.

They say yes on the server's page, are the user PERSON_USER at the sandbox's, and let the client have its answer.
"""

import html
import os
import re
import sys
from pathlib import Path

import httpx2

COMMAND = f"{sys.executable} {Path(__file__).resolve()} %s"
"""What `BROWSER` is set to."""

SECONDS = 30

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def sign_in(address: str, user: str, until: str = "") -> str:
    """Open an address in a new browser, and agree to what it asks.

    Returns:
        Where that leads. When that begins with `until`, it is not opened any more.

    Raises:
        httpx2.HTTPStatusError: a page says that they are refused.
    """
    with httpx2.Client(timeout=SECONDS, trust_env=False) as browser:
        page = browser.get(address)
        while True:
            if page.next_request and until and str(page.next_request.url).startswith(until):
                return str(page.next_request.url)
            if page.next_request:
                page = browser.send(page.next_request)
            elif page.raise_for_status().url.path == "/consent":
                form = {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
                origin = f"{page.url.scheme}://{page.url.netloc.decode()}"
                page = browser.post(
                    page.url.join("/consent"), data=form | {"answer": "yes"}, headers={"origin": origin}
                )
            elif page.url.path == "/oauth" and "sandbox_answer" not in page.url.params:
                page = browser.get(page.url.copy_merge_params({"sandbox_answer": "allow", "sandbox_user": user}))
            else:
                return str(page.url)


if __name__ == "__main__":
    sign_in(sys.argv[1], os.environ["PERSON_USER"])
