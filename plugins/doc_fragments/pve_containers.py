# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_container.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_containers has from pve_container."""

    DOCUMENTATION = r"""
options:
  defaults:
    description:
      - What is asked for all guests.
      - An option of a guest goes before this. Of dictionaries each key does, and a list is replaced.
    type: dict
    suboptions: &shared
      state:
        description:
          - V(present) makes the guest when there is none, and otherwise changes what differs.
          - V(template) does the same and turns the guest into a template, which cannot be undone.
          - V(absent) deletes the guest and its disks.
          - V(present) is used when nothing says otherwise.
        type: str
        choices:
          - present
          - absent
          - template
      rename:
        description:
          - Give the guest that O(cloudbridge.proxmox.pve_container#module:vmid) means the name
            O(cloudbridge.proxmox.pve_container#module:name).
          - V(false) is used when nothing says otherwise.
        type: bool
      onboot:
        description: Whether the guest is started with its node.
        type: bool
      startup:
        description:
          - When the guest is started and stopped among the others of its node.
          - What is not given stays as it is. An empty dictionary unsets all of it.
          - As it is about the node, it needs the privilege C(Sys.Modify) on C(/).
        type: dict
        suboptions:
          order:
            description: Guests with lower numbers start first and stop last.
            type: int
          up:
            description: Seconds to wait before the next guest is started.
            type: int
          down:
            description: Seconds to wait for the guest's shutdown.
            type: int
      protection:
        description: Whether PVE refuses to delete the guest and its disks.
        type: bool
      description:
        description: The notes on the guest. PVE cannot store the text V(0), which is refused.
        type: str
      tags:
        description:
          - The guest's tags. Their order does not matter.
          - Their case matters where the datacenter's C(tag-style) has C(case-sensitive), and nowhere else.
        type: list
        elements: str
      tags_mode:
        description:
          - Whether O(cloudbridge.proxmox.pve_container#module:tags) are all the tags, V(set), or to be there among
            others, V(add).
          - The tag by which M(cloudbridge.proxmox.pve_node_maintenance) finds the guest again stays either way.
          - V(set) is used when nothing says otherwise.
        type: str
        choices:
          - set
          - add
      pool:
        description:
          - The pool of the guest. An empty string takes it out of its pool.
          - Without the privilege C(Pool.Audit) PVE does not show the pool of a guest. Then an empty string changes
            nothing.
        type: str
      remove:
        description: Settings and network devices to unset, by PVE's own names. Those that are not set are no change.
        aliases:
          - delete
        type: list
        elements: str
      shutdown_timeout:
        description:
          - Seconds that the guest's system has for its shutdown when
            O(cloudbridge.proxmox.pve_container#module:apply_pending=reboot).
          - V(180) is used when nothing says otherwise.
        type: int
      force:
        description:
          - For O(cloudbridge.proxmox.pve_container#module:state=absent), pull the plug of a guest that runs, which
            otherwise is an error.
          - V(false) is used when nothing says otherwise.
        type: bool
      purge:
        description:
          - For O(cloudbridge.proxmox.pve_container#module:state=absent), remove the guest from backup jobs, replication
            and HA, too.
          - V(false) is used when nothing says otherwise.
        type: bool
      destroy_unreferenced_disks:
        description:
          - For O(cloudbridge.proxmox.pve_container#module:state=absent), delete also volumes with the guest's number
            that its configuration does not name.
          - V(false) is used when nothing says otherwise.
        type: bool
      timeout:
        description:
          - Seconds that the whole operation may take, PVE's tasks included.
          - V(1800) is used when nothing says otherwise.
        type: int
      wait_for_lock:
        description:
          - Seconds that the guest is waited for when PVE has locked it, as for a backup, a snapshot or a move.
          - With V(0) that is an error at once. The lock of a hibernated guest is never waited for.
          - It does not go beyond O(cloudbridge.proxmox.pve_container#module:timeout).
          - V(0) is used when nothing says otherwise.
        type: int
        version_added: 1.1.0
      node:
        description:
          - The node to make a new container on.
          - A container that exists elsewhere stays there, since HA may have moved it, and a warning says so, unless
            O(cloudbridge.proxmox.pve_container#module:migrate) is set.
          - If not set, a new container goes to the online node with the most free memory that has the storages, the
            bridges and the template that it needs, and a clone goes to the node of its source.
        type: str
      migrate:
        description:
          - Whether to move a container that exists to O(cloudbridge.proxmox.pve_container#module:node) before anything
            else is changed. One that runs is restarted.
          - M(cloudbridge.proxmox.pve_migrate) has the options for moves that need more than that.
          - V(false) is used when nothing says otherwise.
        type: bool
      template:
        description:
          - The template that a new container is made from, as in
            V(local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst).
          - A new container needs one of O(cloudbridge.proxmox.pve_container#module:template),
            O(cloudbridge.proxmox.pve_container#module:image), O(cloudbridge.proxmox.pve_container#module:clone) and
            O(cloudbridge.proxmox.pve_container#module:restore). They are not looked at when it exists.
        aliases:
          - ostemplate
        type: str
      image:
        description:
          - The template that a new container is made from, which is fetched to a storage when it is not there yet, as
            M(cloudbridge.proxmox.pve_volume) does. All containers reuse it.
          - One of O(cloudbridge.proxmox.pve_container#module:image.url),
            O(cloudbridge.proxmox.pve_container#module:image.src),
            O(cloudbridge.proxmox.pve_container#module:image.template) and
            O(cloudbridge.proxmox.pve_container#module:image.oci_reference) says where it comes from.
        type: dict
        suboptions:
          storage:
            description: The storage for the template, which has to take the content V(vztmpl).
            type: str
          url:
            description: The node downloads the template from here.
            type: str
          src:
            description: The path of a file that is uploaded, on the host that the task runs on.
            type: path
          template:
            description: A template of PVE's list of appliances, as in V(debian-13-standard_13.0-1_amd64.tar.zst).
            type: str
          oci_reference:
            description: An image of a registry, as in V(docker.io/library/nginx:latest). It needs PVE 9.1.
            type: str
          checksum:
            description: The checksum of the file, as in V(sha256:9f86d0...), with
              O(cloudbridge.proxmox.pve_container#module:image.url) and
              O(cloudbridge.proxmox.pve_container#module:image.src).
            type: str
          file_name:
            description:
              - What the template is called on the storage.
              - Without it, the last part of the source.
            type: str
          verify_certificates:
            description:
              - Whether the node checks the certificate of the server of
                O(cloudbridge.proxmox.pve_container#module:image.url).
              - V(true) is used when nothing says otherwise.
            type: bool
          replace:
            description:
              - Whether a file of that name which differs is replaced.
              - V(false) is used when nothing says otherwise.
            type: bool
      clone:
        description:
          - Make a new container from another one, and configure it with the other options in the same task.
          - It is not looked at when the container exists.
        type: dict
        suboptions:
          source:
            description:
              - The number or the name of the container or template to clone. One that runs can only be cloned from a
                snapshot.
              - When several have the name, the one on O(cloudbridge.proxmox.pve_container#module:node) is meant.
                Several there, or none, are an error.
            type: str
          full:
            description:
              - Copy the volumes. V(false) makes a linked clone, which needs a template.
              - If not set, templates are linked, unless O(cloudbridge.proxmox.pve_container#module:clone.storage) is
                given.
            type: bool
          snapshot:
            description: Clone the state that this snapshot of the source holds.
            aliases:
              - snapname
            type: str
          storage:
            description: Where to copy the volumes to.
            type: str
          target_node:
            description: The same as O(cloudbridge.proxmox.pve_container#module:node). A clone to another node needs all
              volumes of its source on shared storages.
            aliases:
              - target
            type: str
      restore:
        description:
          - Make a new container of a backup, and configure it with the other options in the same task. What is in the
            backup and is not named stays as it is.
          - It is not looked at when the container exists. M(cloudbridge.proxmox.pve_restore) also replaces containers.
        type: dict
        suboptions:
          backup:
            description: The backup, as in V(local:backup/vzdump-lxc-200-2026_11_27-04_00_00.tar.zst).
            type: str
          storage:
            description: Where the volumes go. Without it, to
              O(cloudbridge.proxmox.pve_container#module:rootfs.storage).
            type: str
          unique:
            description:
              - Whether the network devices get new addresses, so that both containers can run.
              - V(true) is used when nothing says otherwise.
            type: bool
      unprivileged:
        description:
          - Whether root in the container is an ordinary user on the node. A new container is unprivileged unless this
            is V(false), which needs C(Sys.Modify) on C(/). One that is restored is what it was unless this is given.
          - It cannot be changed once the container is there. Back it up, and make a container of the backup with
            O(cloudbridge.proxmox.pve_container#module:restore).
        type: bool
      password:
        description:
          - The password of root in a new container that is made of a template. It has 5 characters or more.
          - PVE can neither return nor change it, so it is not looked at when the container exists.
        type: str
      ssh_keys:
        description:
          - The public keys of root in a new container that is made of a template. An entry may be the text of a whole
            C(authorized_keys) file; its comments and blank lines are left out.
          - PVE can neither return nor change them, so they are not looked at when the container exists.
        aliases:
          - pubkey
        type: list
        elements: str
      cores:
        description: How many CPU cores the container sees. Without it, all of the node.
        type: int
      cpulimit:
        description: How much CPU time the container may use, as a number of CPUs. V(0) is no limit.
        type: float
      cpuunits:
        description: The weight of the container when CPU time is short.
        type: int
      memory:
        description: Memory in MiB.
        type: int
      swap:
        description: Swap in MiB.
        type: int
      features:
        description:
          - What the container may do beyond the usual. What is not given stays as it is, and an empty dictionary unsets
            all.
          - They take effect at the next start.
        type: dict
        suboptions:
          nesting:
            description: Containers in the container, which systemd needs as well. It takes C(VM.Allocate).
            type: bool
          keyctl:
            description: The system call C(keyctl), in an unprivileged container.
            type: bool
          fuse:
            description: FUSE file systems.
            type: bool
          mknod:
            description: Making some device nodes, in an unprivileged container.
            type: bool
          mount:
            description: The types of file systems that may be mounted, as in V(nfs).
            type: list
            elements: str
          force_rw_sys:
            description: A writable C(/sys), in an unprivileged container.
            type: bool
      rootfs:
        description:
          - The root file system. A new container that is made of a template needs
            O(cloudbridge.proxmox.pve_container#module:rootfs.storage) and
            O(cloudbridge.proxmox.pve_container#module:rootfs.size).
          - What is not given stays as it is.
        type: dict
        suboptions:
          storage:
            description:
              - The storage. A volume that is on another one is moved there, and its old volume is deleted.
              - PVE moves the volumes of a container only while it is stopped.
            type: str
          size:
            description:
              - The size, as in V(8G), rounded up to whole MiB. A number alone is GiB.
              - A smaller volume is grown, also while the container runs. A larger one is an error, since PVE cannot
                shrink them.
            type: str
          volume:
            description: A volume that is there already, as in V(local-lvm:vm-100-disk-1).
            type: str
          mount_options:
            description: More options of the mount. An empty list is none.
            type: list
            elements: str
            choices:
              - discard
              - lazytime
              - noatime
              - nodev
              - noexec
              - nosuid
          idmap:
            description:
              - How the users and groups of the container are those of the volume, in PVE's words, as in
                V(u:1000:1000:1;g:1000:1000:1) or V(passthrough). An empty text unsets it. It needs PVE 9.1.
            type: str
          acl:
            description: Whether there are access control lists.
            type: bool
          quota:
            description: Whether there are quotas of users.
            type: bool
          ro:
            description: Whether it is read-only.
            type: bool
          replicate:
            description: Whether replication includes it.
            type: bool
          shared:
            description: Whether all nodes have it, although PVE does not know it for a shared one.
            type: bool
      mount_points:
        description:
          - Volumes and directories that are mounted in the container, by slot. Slots that are not named stay as they
            are, as do options that are not given.
          - A running container takes a new mount point at once, and a change of one that is there at its next start.
        type: list
        elements: dict
        suboptions:
          slot:
            description:
              - The slot, V(mp0) to V(mp255).
              - With O(cloudbridge.proxmox.pve_container#module:mount_points[].state=absent) also V(unused0) to
                V(unused255).
            aliases:
              - id
            type: str
            required: true
          state:
            description:
              - V(detached) takes the mount point out of the container and keeps its volume, as an unused one. A running
                container gives it up at its next stop.
              - V(absent) deletes it with its volume, which needs a container that is stopped.
            type: str
            choices:
              - present
              - detached
              - absent
            default: present
          path:
            description: Where it is mounted in the container. A new mount point needs it.
            aliases:
              - mp
              - mountpoint
            type: path
          host_path:
            description: A directory or a device of the node, instead of a volume. Only C(root@pam) may mount one.
            type: path
          storage:
            description:
              - The storage. A volume that is on another one is moved there, and its old volume is deleted.
              - PVE moves the volumes of a container only while it is stopped.
            type: str
          size:
            description:
              - The size, as in V(8G), rounded up to whole MiB. A number alone is GiB.
              - A smaller volume is grown, also while the container runs. A larger one is an error, since PVE cannot
                shrink them.
            type: str
          volume:
            description: A volume that is there already, as in V(local-lvm:vm-100-disk-1).
            type: str
          mount_options:
            description: More options of the mount. An empty list is none.
            type: list
            elements: str
            choices:
              - discard
              - lazytime
              - noatime
              - nodev
              - noexec
              - nosuid
          idmap:
            description:
              - How the users and groups of the container are those of the volume, in PVE's words, as in
                V(u:1000:1000:1;g:1000:1000:1) or V(passthrough). An empty text unsets it. It needs PVE 9.1.
            type: str
          acl:
            description: Whether there are access control lists.
            type: bool
          quota:
            description: Whether there are quotas of users.
            type: bool
          ro:
            description: Whether it is read-only.
            type: bool
          replicate:
            description: Whether replication includes it.
            type: bool
          shared:
            description: Whether all nodes have it, although PVE does not know it for a shared one.
            type: bool
          backup:
            description: Whether backups include it. If not set, they do not.
            type: bool
          keepattrs:
            description: Whether it has the owner and the mode of the directory that it is mounted on. It needs PVE 9.1.
            type: bool
      networks:
        description:
          - Network devices, by slot. Slots that are not named stay as they are, as do options that are not given.
          - PVE writes the addresses into the container, where a running one takes them at once.
        type: list
        elements: dict
        suboptions:
          slot:
            description: The device, V(net0) to V(net31).
            aliases:
              - interface
            type: str
            required: true
          state:
            description: Whether the device is there.
            type: str
            choices:
              - present
              - absent
            default: present
          name:
            description: What the device is called in the container. A new V(net0) is C(eth0) unless this is given.
            type: str
          mac:
            description: The address. If not set, a device keeps its address, and PVE makes one for a new device.
            type: str
          bridge:
            description: The bridge or the vnet.
            type: str
          vlan:
            description: The VLAN tag, up to V(4094). V(0) is untagged.
            aliases:
              - tag
            type: int
          trunks:
            description: The VLANs that pass, as numbers. An empty list lets all pass.
            type: list
            elements: str
          ip:
            description:
              - V(dhcp), V(manual), or an address with the length of its prefix, as in V(192.0.2.10/24).
              - An empty text unsets it, and the gateway with it.
            type: str
          gateway:
            description: The gateway of the address. An empty text unsets it.
            type: str
          ip6:
            description:
              - V(auto), V(dhcp), V(manual), or an address as in V(2001:db8::10/64).
              - An empty text unsets it, and the gateway with it.
            type: str
          gateway6:
            description: The gateway of the address of version 6. An empty text unsets it.
            type: str
          rate:
            description: The most MB per second. V(0) is no limit.
            type: float
          firewall:
            description: Whether PVE's firewall looks after the device.
            type: bool
          mtu:
            description: The MTU, V(64) or more. V(0) is the default.
            type: int
          link_down:
            description: Whether the cable is pulled.
            type: bool
          host_managed:
            description:
              - Whether the node gives the device its addresses, for a container that does not do so itself. It needs
                PVE 9.1.
            type: bool
      devices:
        description: Devices of the node, by slot. Only C(root@pam) may give them to a container.
        type: list
        elements: dict
        suboptions:
          slot:
            description: The slot, V(dev0) to V(dev255).
            type: str
            required: true
          state:
            description: Whether the device is there.
            type: str
            choices:
              - present
              - absent
            default: present
          path:
            description: The device, as in V(/dev/ttyUSB0). A new slot needs it.
            type: path
          mode:
            description: The mode of the device in the container, as in V(0660).
            type: str
          uid:
            description: The number of its owner in the container.
            type: int
          gid:
            description: The number of its group in the container.
            type: int
          deny_write:
            description: Whether the container may not write to it.
            type: bool
      nameservers:
        description: The DNS servers, in order. An empty list leaves them to the node.
        aliases:
          - nameserver
        type: list
        elements: str
      search_domains:
        description: The DNS search domains, in order. An empty list leaves them to the node.
        aliases:
          - searchdomain
        type: list
        elements: str
      ostype:
        description: The system in the container, which PVE finds out itself when it makes one of a template.
        type: str
        choices:
          - debian
          - devuan
          - ubuntu
          - centos
          - fedora
          - opensuse
          - archlinux
          - alpine
          - gentoo
          - nixos
          - unmanaged
      arch:
        description: The architecture, which PVE finds out itself when it makes a container of a template.
        type: str
        choices:
          - amd64
          - i386
          - arm64
          - armhf
          - riscv32
          - riscv64
      timezone:
        description: The time zone, as in V(Europe/Vienna), or V(host) for that of the node.
        type: str
      console:
        description: Whether the container has C(/dev/console).
        type: bool
      tty:
        description: How many terminals the container has, up to V(6).
        type: int
      cmode:
        description: What a console of the container shows, a login on a terminal, C(/dev/console), or a shell.
        type: str
        choices:
          - tty
          - console
          - shell
      hookscript:
        description: The volume of a script that the node runs when the container starts and stops. For C(root@pam)
          only.
        type: str
      entrypoint:
        description: The command that is run as the first process. It needs PVE 9.1.
        type: str
      env:
        description:
          - The environment of the first process, as names and values. What is given is all of it, and an empty
            dictionary is none. It needs PVE 9.1.
          - PVE shows it to everybody who sees the container.
        type: dict
      config:
        description:
          - Any other setting, by PVE's own name and in PVE's own words.
          - Volumes, network devices, name and tags are not, since they have options that take care.
        type: dict
      apply_pending:
        description:
          - V(reboot) reboots a running container for which changes are pending, be it from this task or from before.
          - V(never) leaves that to you, and returns RV(cloudbridge.proxmox.pve_container#module:reboot_required).
          - V(never) is used when nothing says otherwise.
        type: str
        choices:
          - never
          - reboot
  guests:
    description:
      - The guests, each with the options of the module for one guest.
      - That two entries mean one guest is an error, and nothing is changed.
    type: list
    elements: dict
    required: true
    suboptions:
      vmid:
        description:
          - The guest's number, from V(100) to V(999999999). A new guest without one gets the next free one.
          - One of O(cloudbridge.proxmox.pve_container#module:vmid) and O(cloudbridge.proxmox.pve_container#module:name)
            is required. With both, the guest must have that number and that name.
        type: int
      name:
        description:
          - The container's name, which has to be a DNS name. It is the host name in the container.
          - Without O(cloudbridge.proxmox.pve_container#module:vmid) it says which container is meant. Several
            containers of that name are an error, which lists them.
          - PVE forgets the names of guests whose node is lost. When one of these may be meant, the task fails and asks
            for O(cloudbridge.proxmox.pve_container#module:vmid).
          - With O(cloudbridge.proxmox.pve_container#module:vmid), a container of that number must have this name,
            unless O(cloudbridge.proxmox.pve_container#module:rename) is set.
        aliases:
          - hostname
        type: str
      <<: *shared
"""
