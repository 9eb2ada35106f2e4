"""The example account: a coffee shop whose segments and statuses need tidying up."""
