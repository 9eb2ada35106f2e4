"""How much one client may ask of the server, and how long it has at the end."""

MAX_MESSAGE_BYTES = 1_048_576
"""The longest message that is taken from a client; the arguments of a tool are far below."""

MAX_CONCURRENT_CALLS = 100
"""Requests of the one client on stdio that are answered at once, dialogs and subscriptions included."""

SHUTDOWN_SECONDS = 3.0
"""Seconds that calls under way have to finish after Ctrl-C or SIGTERM; a second one ends them at once."""

LAST_WRITE_SECONDS = 2.0
"""Seconds that amoCRM has then to answer what was sent: so many fewer that the caller can still be told."""

LAST_WORDS_SECONDS = 0.2
"""Seconds that calls have to say how far they came when they are ended at once."""
