"""The pages of help in /usr/share/doc/postern: README leads to each of them, and no link leads nowhere."""

import re


def lead_to_each_other(folder):
    """How many pages README's links lead to; fails where one leads nowhere, or a page is not reached."""
    texts = {page.name: page.read_text() for page in folder.glob("*.md")}
    links = {name: set(re.findall(r"\]\(([^/:)#]+\.md)\)", text)) for name, text in texts.items()}
    there = {page.name for page in folder.iterdir()}
    for name, named in links.items():
        # Of the source alone: what is for those who work on it.
        missing = {page for page in named - there if page not in ("CONTRIBUTING.md", "SECURITY.md")}
        assert not missing, f"{name} names {missing}"
    unnamed = set(texts) - links["README.md"] - {"README.md"}
    assert len(texts) > 10 and not unnamed, f"README does not name {unnamed}, of {set(texts)}"
    return len(texts)
