"""The environment of a team's server in the tests."""

from base64 import b64encode

KEY = f"k1:{b64encode(bytes(range(32))).decode()}"
OLD_KEY = f"k0:{b64encode(bytes(range(100, 132))).decode()}"

ENVIRONMENT = {
    "AMO_PUBLIC_URL": "https://crm.example.org",
    "AMO_DATABASE_URL": "postgresql://amo:pa55word@db.example.org/amo",
    "AMO_SECRET_KEY": KEY,
    "AMO_BASE_URL": "https://example.amocrm.ru",
    "AMO_ACCESS_TOKEN": "ey.long-lived",
}
"""What has to be set."""
