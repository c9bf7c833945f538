"""The long description: README.md, with absolute addresses where one is given.

PyPI shows pictures, and follows links, by absolute addresses alone. So whoever builds
a release names the repository: `REPOSITORY_URL=https://github.com/OWNER/NAME`. All
else is in setup.cfg.
"""

import os
import pathlib
import re

from setuptools import setup

# A link or a picture of Markdown whose address is relative.
RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


def with_addresses(text, repository):
    """Markdown whose relative addresses have become those of files of a repository."""

    def absolute(found):
        mark, words, path = found.groups()
        kind = "raw" if mark else "blob"
        return f"{mark}[{words}]({repository}/{kind}/HEAD/{path})"

    return RELATIVE.sub(absolute, text)


readme = pathlib.Path(__file__).with_name("README.md").read_text("utf-8")
repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")
links = {}
if repository:
    readme = with_addresses(readme, repository)
    pages = {"Source": "", "Issues": "/issues", "Changelog": "/blob/HEAD/CHANGELOG.md"}
    links = {"project_urls": {name: repository + page for name, page in pages.items()}}
setup(long_description=readme, long_description_content_type="text/markdown", **links)
