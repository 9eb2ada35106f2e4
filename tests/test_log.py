"""Logs go to stderr, one line an event, and no event prints a traceback."""

import logging

import pytest

from amo_mcp.log import log_to_stderr


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_and_an_exception_only_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("INFO")
    logger = logging.getLogger("shop")
    logger.info("two\nlines of %s", "text")
    logger.error("it broke", exc_info=RuntimeError("with a secret"))
    logger.debug("too quiet")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "info: shop: two lines of text\nerror: shop: it broke (RuntimeError)\n"
