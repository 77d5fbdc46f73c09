"""The examples of the documents, exactly as they stand there, so that tests can run them."""

import re

from infra.settings import REPOSITORY


def example(document: str, name: str) -> str:
    """The fenced block that follows `<!-- example: name -->` in a document of this repository."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    (block,) = re.findall(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    return str(block)
