"""The API itself: its routes, its rules, its forms of success and refusal."""
