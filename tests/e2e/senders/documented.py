"""The lines of docs/collectors.md that a tool's user pastes."""

import re

from tests.unit.normalize.test_docs import TEXT


def lines(section: str, language: str, word: str, webhook_url: str) -> str:
    """Return the only code block of a section that contains the word, with the webhook's URL in it."""
    (text,) = re.findall(rf"^### {section}\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    (code,) = [code for found, code in blocks if found == language and word in code]
    return str(code).replace("$WEBHOOK_URL", webhook_url)
