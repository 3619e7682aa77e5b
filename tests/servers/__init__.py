"""Real servers for tests: on free ports, in folders of their own, gone at the end."""
