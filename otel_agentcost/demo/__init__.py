"""`agentcost demo`: a research agent, the model server it talks to, and the terminal that shows what it spends.

The agent (`agent.py`) is an ordinary application: it uses the real SDKs and knows nothing of the server, and hardly
anything of this package. The server (`server.py`, `dialects/`) is an ordinary model provider: it knows nothing of
telemetry. The terminal (`terminal.py`) reads spans, and nothing else. `app.py` puts the three together.

Nothing outside this folder imports it, except the command in `cli/demo.py`.
"""
