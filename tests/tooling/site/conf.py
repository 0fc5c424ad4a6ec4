# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sphinx's settings for the pages that `make docs` builds."""

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
