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


def integrations() -> dict[str, list[inventory.Package]]:
    """Every package with an integration, by its name, and its integrations."""
    found: dict[str, list[inventory.Package]] = {}
    for package in inventory.packages():
        found.setdefault(package.distribution, []).append(package)
    return dict(sorted(found.items()))


def claimed(packages: list[inventory.Package]) -> str:
    """The oldest release that any integration of a package names."""
    return min((package.oldest for package in packages), key=tested.release)


def support_table() -> str:
    """The table of docs/support.md: every package with an integration, and what the tests prove of it."""
    head = ("package", "claimed from", "tested", "seen by", *COLUMNS)
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, packages in integrations().items():
        oldest = claimed(packages)
        seen = sorted(
            SEEN.get(each.kind, each.kind) + ("" if each.oldest == oldest else f" (from {each.oldest})")
            for each in packages
        )
        releases = tested.passed(name)
        cells = tested.table()[name][releases[-1]] if releases else {}
        marks = ["yes" if column in cells else "" for column in COLUMNS]
        row = (f"`{name}`", oldest, ", ".join(releases), ", ".join(seen), *marks)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


SHORT = (
    (
        ("openai",),
        "chat, responses, completions, embeddings, images, audio; Azure; every OpenAI-compatible `base_url`",
    ),
    (("anthropic",), "messages and beta messages; Bedrock, Vertex, Foundry"),
    (("google-genai",), "generateContent and embeddings; Gemini API and Vertex"),
    (("mistralai",), "chat, agents, conversations, embeddings, OCR, audio"),
    (("cohere",), "chat, generate, embed, rerank"),
    (("ollama", "huggingface-hub"), "chat, embeddings; Ollama's generate"),
    (("boto3", "aiobotocore"), "Amazon Bedrock: Converse, InvokeModel and their streams"),
    (("litellm",), "completion, responses, embedding, rerank, images, audio; the router; every provider"),
)
"""The rows of the README's table: packages, and which of their calls are covered."""


def short_table() -> str:
    """The table of the README: the SDKs, the oldest release of each that is claimed, and the newest that was tested."""
    found = integrations()
    lines = ["| SDK | versions | calls |", "|---|---|---|"]
    for names, calls in SHORT:
        lines.append(f"| {', '.join(names)} | {', '.join(_versions(name, found[name]) for name in names)} | {calls} |")
    return "\n".join(lines) + "\n"


def _versions(name: str, packages: list[inventory.Package]) -> str:
    """The releases of a package for people, as "1.66 to 3.57"."""
    oldest, *newer = (".".join(each.split(".")[:2]) for each in (claimed(packages), *tested.passed(name)[-1:]))
    return oldest if [oldest] == newer or not newer else f"{oldest} to {newer[0]}"


def main() -> None:
    """Rewrite all of them."""
    SETTINGS.write_text(
        with_block(SETTINGS.read_text(encoding="utf-8"), "settings", settings_table()), encoding="utf-8"
    )
    README.write_text(with_block(README.read_text(encoding="utf-8"), "sdks", short_table()), encoding="utf-8")
    SUPPORT.write_text(with_block(SUPPORT.read_text(encoding="utf-8"), "support", support_table()), encoding="utf-8")
    USAGE.write_text(with_block(USAGE.read_text(encoding="utf-8"), "unseen", unseen_table()), encoding="utf-8")
    AGENTS.write_text(with_block(AGENTS.read_text(encoding="utf-8"), "agents", agents_table()), encoding="utf-8")
    TOOLS.write_text(with_block(TOOLS.read_text(encoding="utf-8"), "frameworks", frameworks_table()), encoding="utf-8")


if __name__ == "__main__":
    main()
