"""Bodies of requests and responses, whole, as the tests expect them."""

from typing import Any

Body = dict[str, Any]


def problem(status: int, title: str, detail: str) -> Body:
    """A refusal without validation errors."""
    return {"title": title, "type": f"https://httpstatus.es/{status}", "status": status, "detail": detail}


def bad_request(detail: str) -> Body:
    """A 400 without validation errors."""
    return problem(400, "Bad Request", detail)


def invalid(*errors: tuple[str, str, str], request_id: str = "0") -> Body:
    """A 400 for one refused object; each error is `(code, path, detail)`."""
    named = [dict(zip(("code", "path", "detail"), error, strict=True)) for error in errors]
    refused = [{"request_id": request_id, "errors": named}]
    return {"validation-errors": refused, **bad_request("Request validation failed")}


def sign_in_refused(status: int, hint: str) -> Body:
    """A refusal by the endpoints of sign-in."""
    return {
        "hint": hint,
        "title": "Некорректный запрос",
        "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
        "status": status,
        "detail": "В запросе отсутствует ряд параметров или параметры невалидны",
    }


def token_request(grant: str, **further: object) -> Body:
    """A request for tokens, from the integration itself."""
    return {
        "client_id": "sandbox-integration",
        "client_secret": "sandbox-secret",
        "grant_type": grant,
        "redirect_uri": "http://127.0.0.1:8919/callback",
        **further,
    }
