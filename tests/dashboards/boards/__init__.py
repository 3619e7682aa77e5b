"""The boards: their form, their queries, and the command that writes them."""
