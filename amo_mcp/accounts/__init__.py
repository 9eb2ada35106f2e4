"""One amoCRM account as the server holds it."""
