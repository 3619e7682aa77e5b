"""The pure core: usage, money, costs. Standard library only.

Nothing here reads a clock, the environment or a file, and nothing here knows OpenTelemetry or an SDK:
time and history come in as arguments, so every rule can be tested as a function of its inputs.
"""
