"""Commands and code in README, CONTRIBUTING, docs and projects."""

import re
import shlex

from markdown_it import MarkdownIt
from places import REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "projects").rglob("*.md")),
]

#: Languages of blocks that hold commands; ``none`` is for drawings.
SHELLS = ("", "bash", "text")


def tokens(page, *kinds):
    """Parts of a page of some kinds: ``fence`` (a block), ``code_block`` (an indented one), ``code_inline``."""
    found = MarkdownIt("commonmark").enable("table").parse(page.read_text())
    return [token for outer in found for token in (outer, *(outer.children or ())) if token.type in kinds]


def blocks(page, *languages):
    """The blocks in these languages; a directive of the site is none."""
    return [token.content for token in tokens(page, "fence", "code_block") if token.info.strip() in languages]


def commands_in(text):
    """The commands of a block: continued lines joined, comments left out."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and not re.match(r"\w+=", words[0]):  # a shell's variable
                yield words


def commands_of(page):
    """All commands of a page: those of its blocks, and those in the text."""
    found = [words for block in blocks(page, *SHELLS) for words in commands_in(block)]
    for token in tokens(page, "code_inline"):
        if re.match(r"(python tools/|mviper |make |tools/\w+\.sh)", token.content):
            words = shlex.split(token.content)
            named = len(words) == 2 or "..." in words  # the tool alone
            found.append([*words[:2], "--help"] if named and words[0] != "make" else words)
    return found
