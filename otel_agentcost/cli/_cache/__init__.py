"""The subcommands of `agentcost cache`: one module for each, found by listing this folder.

A module has a function `add_parser(subparsers)`, as the modules of `cli` have.
"""
