"""A person's yes in a team: who may give it, the questions that wait for it, and the page where it is given."""
