"""What people of a team see in their browsers: what is theirs, who is here, the audit, and the board."""
