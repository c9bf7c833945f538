"""Pages of the site that stand elsewhere in the repository, and links out of docs/.

mkdocs knows the files of one folder. So a page may be a line such as
`{{ CHANGELOG.md }}`, in whose place that file is read. A link to a file outside of the
folder becomes a link to the repository where `repo_url` names it, or else plain text.
"""

import pathlib
import posixpath
import re

_FILE = re.compile(r"^\{\{ (\S+) \}\}$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown, page, config, files):
    """The page's text with included files and with links that the site can follow."""
    root = pathlib.Path(config.config_file_path).parent
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    if included := _FILE.search(markdown):
        folder = posixpath.dirname(included[1])
        markdown = _FILE.sub(
            lambda _: (root / included[1]).read_text("utf-8"), markdown
        )

    def followed(link):
        text, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if not (root / path).exists():
            # mkdocs reports it.
            return link[0]
        if path.startswith("docs/"):
            here = posixpath.dirname(page.file.src_uri) or "."
            within = posixpath.relpath(path.removeprefix("docs/"), here)
            return f"[{text}]({within}{anchor})"
        if path in ("CHANGELOG.md", "benchmarks/README.md"):
            name = {"CHANGELOG.md": "changelog.md"}.get(path, "performance.md")
            here = posixpath.dirname(page.file.src_uri) or "."
            return f"[{text}]({posixpath.relpath(name, here)}{anchor})"
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{path}{anchor})"
        return text

    return _LINK.sub(followed, markdown)
