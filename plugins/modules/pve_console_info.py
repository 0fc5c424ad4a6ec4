#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_console_info
short_description: List the consoles of a guest or a node, and open one for a viewer
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Lists which consoles a virtual machine, a container or a node has, and which of them the caller can open.
  - If asked, has PVE open one, VNC, a terminal or SPICE, and returns all that is needed to connect to it.
  - What PVE opens is for one connection, which has to come within 10 seconds. For a person with a browser there are
    links, and for a person with a terminal there is C(pve-console), which opens when it connects.
  - This module changes nothing, and so it is never C(changed). For each console that is opened, however, PVE writes a
    task in its log, and that task has failed when nobody connects. In check mode nothing is opened.
  - What is returned of an open console are secrets. Put C(no_log) on the task, as in the examples, and what is
    registered can be used all the same.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest.or_node
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes.info
attributes:
  check_mode:
    description: Can run in C(check_mode), and predicts there what would change without changing it.
    support: full
    details:
      - This module changes nothing. In check mode it does not open a console either.
options:
  node:
    description:
      - The node, when its own console is meant rather than a guest's. A guest is found on whichever node it is.
    type: str
  type:
    description:
      - V(info) lists which consoles can be opened, and why others cannot. Nothing is opened.
      - V(vnc) opens the display, V(terminal) the serial line of a virtual machine or the terminal of a container or
        a node, V(spice) the display by SPICE, for C(remote-viewer).
      - V(link) returns the URLs of the consoles in PVE's web interface. Nothing is opened.
    type: str
    choices: [info, vnc, terminal, spice, link]
    default: info
  transport:
    description:
      - How a viewer reaches VNC. With V(websocket), the default, through the port and the certificate of the API.
      - With V(tcp), straight to the port, and B(unencrypted), as CloudStack's console proxy does. PVE does that for
        virtual machines that have a display.
    type: str
    choices: [websocket, tcp]
  serial:
    description:
      - The serial line of a virtual machine that the terminal is opened on.
      - Without it, it is the one that the guest has for a display, or else the first.
    type: str
    choices: [serial0, serial1, serial2, serial3]
  spice_proxy:
    description:
      - The node, by a name or address that the viewer knows, whose SPICE proxy (port 3128) the viewer connects to.
      - Without it, the host of the API, or what O(host) or O(node_address) say.
    type: str
  width:
    description: The width of the screen of a container or a node, in pixels, for O(type=vnc).
    type: int
  height:
    description: The height of the screen of a container or a node, in pixels, for O(type=vnc).
    type: int
  host:
    description:
      - The host to return instead of that of the API, for viewers that reach PVE by another name or address. It may
        have a port, as in V(console.example.com:443), for the websocket and links.
    type: str
  node_address:
    description:
      - With V(api), what is returned leads to the host of the API that answered.
      - With V(cluster), to the address that the cluster knows the node by which has opened the console. That is right
        also when O(api_host) is the name of several nodes, or of something in front of them. It takes C(Sys.Audit)
        on C(/).
    type: str
    choices: [api, cluster]
    default: api
  require_running:
    description:
      - Whether it is an error when the guest does not run. PVE opens VNC and terminals of a stopped guest as well, and
        closes them when somebody connects.
    type: bool
    default: true
  include_auth:
    description:
      - Return, after a login with O(api_password), the header that logs in to the websocket. It holds the whole login,
        which is valid for two hours, and not for this console only.
      - An API token's header is never returned. It is C(Authorization) with C(PVEAPIToken=IDENTITY=SECRET).
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: See which consoles a guest has
  cloudbridge.proxmox.pve_console_info:
    vmid: 101
  register: found

- name: Have links for a browser that is logged in to PVE
  cloudbridge.proxmox.pve_console_info:
    name: db
    type: link

- name: Open the display for SPICE
  cloudbridge.proxmox.pve_console_info:
    vmid: 101
    type: spice
  register: spice
  no_log: true
  when: found.console.available.spice

- name: Write the file for remote-viewer, which has 30 seconds
  ansible.builtin.copy:
    content: "{{ spice.console.vv_file_content }}"
    dest: ~/db.vv
    mode: "0600"
  no_log: true
  when: spice.console.opened | default(false)

- name: Open the display for a VNC viewer that speaks PVE's websocket
  cloudbridge.proxmox.pve_console_info:
    vmid: 101
    type: vnc
  no_log: true

- name: Open the terminal of a node
  cloudbridge.proxmox.pve_console_info:
    node: pve1
    type: terminal
  no_log: true
"""

RETURN = r"""
console:
  description: The console, and how to reach it.
  returned: success
  type: dict
  contains:
    type:
      description: The option O(type).
      type: str
    guest_type:
      description: What it belongs to, V(qemu), V(lxc) or V(node).
      type: str
    vmid:
      description: The guest's number. None of a node.
      type: int
    name:
      description: The guest's name. None of a node.
      type: str
    node:
      description: The node that the guest is on, or the node itself.
      type: str
    status:
      description: V(running), V(paused), V(hibernated) or V(stopped).
      type: str
    api_host:
      description: The URL of the API that answered.
      type: str
    identity:
      description: The identity that must connect through PVE's websocket to the opened console. No other identity can.
      type: dict
      contains:
        name:
          description: The user or the API token, as V(root@pam) or V(root@pam!ci).
          type: str
        kind:
          description: V(ticket) after a login with a password, or V(token).
          type: str
    links:
      description: The consoles in PVE's web interface. They take a browser that is logged in there.
      type: dict
      contains:
        novnc:
          description: The URL of the display.
          type: str
        xtermjs:
          description: The URL of the terminal.
          type: str
    display:
      description: The display of a virtual machine, as V(std), V(qxl), V(serial0) or V(none). None of others.
      returned: when O(type=info)
      type: str
    available:
      description: Which consoles the caller can open as things are, as far as the release of PVE decides it.
      returned: when O(type=info)
      type: dict
      contains:
        vnc:
          description: Whether it is VNC.
          type: bool
        terminal:
          description: Whether it is a terminal.
          type: bool
        spice:
          description: Whether it is SPICE.
          type: bool
        serial:
          description: The serial lines of a virtual machine that a terminal can be opened on.
          type: list
          elements: str
        agent:
          description: Whether the guest agent is enabled.
          type: bool
    reasons:
      description: For each console that is not available, by C(vnc), C(terminal) and C(spice), why, and what to do.
      returned: when O(type=info)
      type: dict
      sample: {"spice": "guest 101 (db) has no SPICE (vga: std): set vga to qxl or virtio and restart it, or use VNC"}
    opened:
      description: Whether a console was opened. False in check mode, and what follows is missing then.
      returned: when O(type) is V(vnc), V(terminal) or V(spice)
      type: bool
    transport:
      description: The option O(transport). A terminal has none but V(websocket).
      returned: when VNC or a terminal was opened
      type: str
    encrypted:
      description: Whether the way to PVE is encrypted.
      returned: when VNC or a terminal was opened
      type: bool
    opened_on:
      description: The node that has opened the port. It is the API's, whichever node the guest is on.
      returned: when VNC or a terminal was opened
      type: str
    host:
      description: Where to connect. The name or address of O(host), of the API, or of the node O(ignore:opened_on).
      returned: when VNC or a terminal was opened
      type: str
    address:
      description: The address of the server that answered, when a name has several. None when it is not known.
      returned: when something was opened for a websocket
      type: str
    port:
      description: The port that PVE has opened. A viewer connects to it with V(tcp) only; the websocket's URL has it.
      returned: when VNC or a terminal was opened
      type: int
    user:
      description: The user of the ticket, as PVE returns it. A terminal must send it.
      returned: when VNC or a terminal was opened
      type: str
    ticket:
      description: The ticket of this console, as PVE says it. Secret.
      returned: when VNC or a terminal was opened
      type: str
    password:
      description: The password of VNC, of which 8 characters count, or of SPICE. Secret.
      returned: when VNC or SPICE was opened
      type: str
    password_seconds:
      description: How long VNC's password is valid, in seconds, from the connection on.
      returned: when VNC was opened
      type: int
    handshake:
      description: The first line to send to a terminal, which then answers V(OK). Secret.
      returned: when a terminal was opened
      type: str
    websocket:
      description: The websocket that leads to the console.
      returned: when something was opened for a websocket
      type: dict
      contains:
        url:
          description: The URL, its ticket quoted. Secret.
          type: str
        subprotocol:
          description: The only subprotocol to offer.
          type: str
        header_name:
          description: The header that says who connects, V(Cookie) or V(Authorization).
          type: str
        header_value:
          description: The value of that header, if O(include_auth=true) and after a login with a password. Secret.
          type: str
    tls_fingerprint:
      description: The SHA-256 fingerprint of the certificate of the server that answered.
      returned: when something was opened for a websocket
      type: str
    cluster_ca:
      description: The certificate of the cluster's own authority, in PEM. A node may have a certificate of another one.
      returned: when VNC was opened
      type: str
    cloudstack:
      description: The same in the words of CloudStack's console proxy. Secret.
      returned: when O(transport=tcp)
      type: dict
      sample:
        host: 192.0.2.11
        port: "5900"
        password: "{VNC's password}"
        passwordonetimeuseonly: true
        protocol: vnc
    spice:
      description: What PVE answers for a viewer of SPICE. Secret.
      returned: when SPICE was opened
      type: dict
    vv_file_content:
      description: The same as the content of a file for C(remote-viewer). Secret.
      returned: when SPICE was opened
      type: str
    issued_at:
      description: When PVE was asked to open the console, in seconds since 1970.
      returned: when a console was opened
      type: int
    connect_before:
      description: Until when somebody has to connect, in seconds since 1970.
      returned: when a console was opened
      type: int
    ticket_expires:
      description: When the ticket expires, in seconds since 1970. What is connected by then stays so.
      returned: when a console was opened
      type: int
    single_connection:
      description: Whether only the first connection is taken. It always is.
      returned: when a console was opened
      type: bool
    upid:
      description: PVE's task that serves the console until it ends.
      returned: when VNC or a terminal was opened
      type: str
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(privilege), C(path) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_console_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
