"""The files, and blocks of files, that are written from the code: `make docs` writes them.

A block stands between `<!-- name -->` and `<!-- /name -->`. Tests hold what is committed equal to what is written here.
"""

from __future__ import annotations

import re
from pathlib import Path

from otel_agentcost.integrations import agents, inventory, tested, tools, unseen
from otel_agentcost.settings import ROWS

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SETTINGS = ROOT / "docs" / "settings.md"
USAGE = ROOT / "docs" / "usage.md"
TOOLS = ROOT / "docs" / "tools.md"
AGENTS = ROOT / "docs" / "agents.md"
SUPPORT = ROOT / "docs" / "support.md"
LOOPS = ROOT / "docs" / "loops.md"
PERFORMANCE = ROOT / "docs" / "performance.md"


def block(document: str, name: str) -> str | None:
    """What `document` holds between the marks of the block `name`; None where it has no such block."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", document, re.DOTALL)
    return found[1] if found else None


def with_block(document: str, name: str, content: str) -> str:
    """`document`, with `content` in the block `name` if it has that."""
    before = block(document, name)
    if before is None:
        return document
    marks = f"<!-- {name} -->\n{{}}<!-- /{name} -->"
    return document.replace(marks.format(before), marks.format(content))


def settings_table() -> str:
    """The table of docs/settings.md: one row a setting."""
    lines = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.variable}` | {row.values} | {row.default} | {row.meaning} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def frameworks_table() -> str:
    """The table of docs/tools.md: every framework whose tools are watched."""
    lines = ["| framework | package | tested from |", "|---|---|---|"]
    found = sorted(tools.discover(), key=lambda framework: framework.title.lower())
    lines += [f"| {each.title} | `{each.distribution}` | {each.oldest} |" for each in found]
    return "\n".join(lines) + "\n"


def agents_table() -> str:
    """The table of docs/agents.md: every framework whose agents are watched."""
    lines = ["| framework | package | tested from | a run | a refused call |", "|---|---|---|---|---|"]
    found = sorted(agents.discover(), key=lambda framework: framework.title.lower())
    lines += [
        f"| {each.title} | `{each.distribution}` | {each.oldest} | {each.runs} | {each.refusal} |" for each in found
    ]
    return "\n".join(lines) + "\n"


def unseen_table() -> str:
    """The table of docs/usage.md: every package that calls models and has no patch of its own."""
    lines = ["| package | calls | over HTTP | counted with |", "|---|---|---|---|"]
    for client in unseen.clients():
        spans = ", ".join(f"`{name}`" for name in client.spans)
        lines.append(f"| `{client.distribution}` | {client.calls} | {client.over_http} | {spans} |")
    return "\n".join(lines) + "\n"


COLUMNS = ("sync", "async", "stream", "tools", "agents", "budgets")
SEEN = {"sdks": "its SDK", "http": "HTTP", "agents": "its agents", "tools": "its tools"}


def support_table() -> str:
    """The table of docs/support.md: every package with an integration, and what the tests prove of it."""
    seen: dict[str, list[str]] = {}
    claimed: dict[str, str] = {}
    for package in inventory.packages():
        seen.setdefault(package.distribution, []).append(SEEN.get(package.kind, package.kind))
        claimed.setdefault(package.distribution, package.oldest)
    head = ("package", "claimed from", "tested", "seen by", *COLUMNS)
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in sorted(seen):
        releases = {release: cells for release, cells in tested.table().get(name, {}).items() if cells}
        cells = releases.get(tested.newest().get(name, ""), [])
        marks = ["yes" if column in cells else "" for column in COLUMNS]
        row = (f"`{name}`", claimed[name], ", ".join(releases), ", ".join(sorted(set(seen[name]))), *marks)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite all of them."""
    SETTINGS.write_text(
        with_block(SETTINGS.read_text(encoding="utf-8"), "settings", settings_table()), encoding="utf-8"
    )
    SUPPORT.write_text(with_block(SUPPORT.read_text(encoding="utf-8"), "support", support_table()), encoding="utf-8")
    USAGE.write_text(with_block(USAGE.read_text(encoding="utf-8"), "unseen", unseen_table()), encoding="utf-8")
    AGENTS.write_text(with_block(AGENTS.read_text(encoding="utf-8"), "agents", agents_table()), encoding="utf-8")
    TOOLS.write_text(with_block(TOOLS.read_text(encoding="utf-8"), "frameworks", frameworks_table()), encoding="utf-8")


if __name__ == "__main__":
    main()
