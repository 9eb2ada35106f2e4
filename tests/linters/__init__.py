"""What other people's tools say of the files for strangers: `make linters`."""
