"""Logs go to stderr, one line an event, and no event prints a traceback."""

import logging
import re
import warnings
from collections.abc import Iterator

import pytest

from amo_mcp.logs import log_to_stderr


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # A command that another test ran in this process may have left it on.
    logging.captureWarnings(capture=False)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.mark.filterwarnings("always")
@pytest.mark.requirement("COMMAND-3")
def test_an_event_is_one_line_and_an_exception_only_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("INFO")
    logger = logging.getLogger("shop")
    logger.info("two\nlines of %s", "text\x1b\u009b\u202e")
    logger.error("it broke", exc_info=RuntimeError("with a secret"))
    logger.debug("too quiet")
    logger.info("\x1b[31mred\u2028%s", "x" * 2000)
    logger.info("%d is no number", "this")
    warnings.warn("of Python", UserWarning, stacklevel=1)
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second, third, *fourth = captured.err.splitlines()
    assert (first, second) == ("info: shop: two lines of text", "error: shop: it broke (RuntimeError)")
    assert third == "info: shop: [31mred " + "x" * (999 - len("info: shop: [31mred ")) + "…"
    assert fourth[0] == "warning: amo_mcp.logs: 1 line was dropped, unread"
    assert re.fullmatch(r"warning: py\.warnings: .*: UserWarning: of Python .*", fourth[1])
    assert len(fourth) == 2


def test_without_a_stderr_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    log_to_stderr("INFO")
    logging.getLogger("shop").error("it broke")
    assert capfd.readouterr() == ("", "")
