# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sphinx's settings for the site that `make docs` builds."""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

project = "cloudbridge.proxmox"
author = "cloudbridge.proxmox contributors"
extensions = ["sphinx_antsibull_ext"]
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
html_theme = "sphinx_ansible_theme"
html_title = "cloudbridge.proxmox"
html_copy_source = False

# Every reference has to lead somewhere, but those into Ansible's own documentation, which is not at hand offline.
nitpicky = True
nitpick_ignore_regex = [("envvar", r"ANSIBLE_\w+")]
BUILTIN = "ansible_collections.ansible.builtin."


def link_to_ansible(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Link to Ansible's site where a page names one of Ansible's own modules."""
    target = node["reftarget"]
    if not target.startswith(BUILTIN):
        return None
    page = target.removeprefix(BUILTIN).partition("__")[0]
    address = f"https://docs.ansible.com/ansible/latest/collections/ansible/builtin/{page}.html"
    return nodes.reference("", "", text, refuri=address, internal=False)


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", link_to_ansible)
