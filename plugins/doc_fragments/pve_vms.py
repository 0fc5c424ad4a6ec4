# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_vm.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_vms has from pve_vm."""

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
          - Give the guest that O(cloudbridge.proxmox.pve_vm#module:vmid) means the name
            O(cloudbridge.proxmox.pve_vm#module:name).
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
          - Whether O(cloudbridge.proxmox.pve_vm#module:tags) are all the tags, V(set), or to be there among others,
            V(add).
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
            O(cloudbridge.proxmox.pve_vm#module:apply_pending=reboot).
          - V(180) is used when nothing says otherwise.
        type: int
      force:
        description:
          - For O(cloudbridge.proxmox.pve_vm#module:state=absent), pull the plug of a guest that runs, which otherwise
            is an error.
          - V(false) is used when nothing says otherwise.
        type: bool
      purge:
        description:
          - For O(cloudbridge.proxmox.pve_vm#module:state=absent), remove the guest from backup jobs, replication and
            HA, too.
          - V(false) is used when nothing says otherwise.
        type: bool
      destroy_unreferenced_disks:
        description:
          - For O(cloudbridge.proxmox.pve_vm#module:state=absent), delete also volumes with the guest's number that its
            configuration does not name.
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
          - It does not go beyond O(cloudbridge.proxmox.pve_vm#module:timeout).
          - V(0) is used when nothing says otherwise.
        type: int
        version_added: 1.1.0
      node:
        description:
          - The node to make a new guest on.
          - A guest that exists elsewhere stays there, since HA may have moved it, and a warning says so, unless
            O(cloudbridge.proxmox.pve_vm#module:migrate) is set.
          - If not set, a new guest goes to the online node with the most free memory that has the storages, the
            bridges, and the images that its disks name, and a clone goes to the node of its source.
        type: str
      migrate:
        description:
          - Whether to move a guest that exists to O(cloudbridge.proxmox.pve_vm#module:node), live when it runs, before
            anything else is changed.
          - M(cloudbridge.proxmox.pve_migrate) has the options for moves that need more than that.
          - V(false) is used when nothing says otherwise.
        type: bool
        version_added: 1.1.0
      clone:
        description:
          - Make a new guest from another one, and configure it with the other options in the same task.
          - It is not looked at when the guest exists.
        type: dict
        suboptions:
          source:
            description:
              - The number or the name of the guest or template to clone.
              - When several have the name, the one on O(cloudbridge.proxmox.pve_vm#module:node) is meant. Several
                there, or none, are an error.
            type: str
          full:
            description:
              - Copy the disks. V(false) makes a linked clone, which needs a template.
              - If not set, templates are linked, unless O(cloudbridge.proxmox.pve_vm#module:clone.storage) or
                O(cloudbridge.proxmox.pve_vm#module:clone.format) is given.
            type: bool
          snapshot:
            description: Clone the state that this snapshot of the source holds.
            aliases:
              - snapname
            type: str
          storage:
            description: Where to copy the disks to.
            type: str
          format:
            description: The format of the copied disks.
            type: str
            choices:
              - raw
              - qcow2
              - vmdk
          target_node:
            description: The same as O(cloudbridge.proxmox.pve_vm#module:node). A clone to another node needs all drives
              of its source on shared storages.
            aliases:
              - target
            type: str
      cores:
        description: CPU cores of each socket.
        type: int
      sockets:
        description: CPU sockets.
        type: int
      vcpus:
        description: How many of the CPUs are plugged in at the start.
        type: int
      cpu:
        description: The CPU type, with PVE's flags if need be, as in V(host) or V(x86-64-v2-AES,flags=+aes).
        type: str
      memory:
        description: Memory in MiB.
        type: int
      balloon:
        description: The least memory in MiB that ballooning leaves to the guest. V(0) turns ballooning off.
        type: int
      numa:
        description: Whether the guest sees NUMA nodes.
        aliases:
          - numa_enabled
        type: bool
      machine:
        description: The machine type, as in V(q35). A version that PVE has pinned for Windows stays.
        type: str
      bios:
        description: The firmware. V(ovmf) is UEFI and wants an O(cloudbridge.proxmox.pve_vm#module:efi_disk).
        type: str
        choices:
          - seabios
          - ovmf
      ostype:
        description: The guest's operating system.
        type: str
        choices:
          - other
          - wxp
          - w2k
          - w2k3
          - w2k8
          - wvista
          - win7
          - win8
          - win10
          - win11
          - l24
          - l26
          - solaris
      scsihw:
        description: The SCSI controller.
        type: str
        choices:
          - lsi
          - lsi53c810
          - virtio-scsi-pci
          - virtio-scsi-single
          - megasas
          - pvscsi
      boot:
        description: The devices to boot from, in order. An empty list leaves the order to PVE.
        type: list
        elements: str
      agent:
        description: Whether PVE talks to the QEMU guest agent.
        type: bool
      vga:
        description: The display, with PVE's options if need be, as in V(serial0) or V(virtio,memory=64).
        type: str
      serial_ports:
        description: The serial ports V(serial0) to V(serial3). Each is V(socket), or a device of the node.
        aliases:
          - serial
        type: dict
      tablet:
        description: Whether the pointer is a tablet, which keeps it where the viewer's is.
        type: bool
      hotplug:
        description: What can be changed while the guest runs. An empty list is nothing.
        type: list
        elements: str
        choices:
          - network
          - disk
          - usb
          - memory
          - cpu
          - cloudinit
      disks:
        description:
          - Disks and CD-ROM drives, by slot. Slots that are not named stay as they are, as do options that are not
            given.
        type: list
        elements: dict
        suboptions:
          slot:
            description:
              - The bus and number, as in V(scsi0), V(virtio1), V(sata2) or V(ide2).
              - With O(cloudbridge.proxmox.pve_vm#module:disks[].state=absent) also V(unused0) to V(unused255),
                V(efidisk0) and V(tpmstate0), and with O(cloudbridge.proxmox.pve_vm#module:disks[].state=detached) the
                last two.
            aliases:
              - disk
            type: str
            required: true
          state:
            description:
              - V(detached) takes the disk out of the guest and keeps its volume, as an unused disk.
              - V(absent) deletes the disk with its volume.
            type: str
            choices:
              - present
              - detached
              - absent
            default: present
          storage:
            description: The storage. A disk that is on another one is moved there, and its old volume is deleted.
            aliases:
              - target_storage
            type: str
          size:
            description:
              - The size, as in V(32G), rounded up to whole KiB. A number alone is GiB.
              - A smaller disk is grown. A larger one is an error, since PVE cannot shrink disks.
            type: str
          format:
            description: The format of the image. A disk with another one is converted.
            type: str
            choices:
              - raw
              - qcow2
              - vmdk
          import_from:
            description:
              - The volume that a new disk is filled with, as in V(local:import/debian.qcow2).
              - The user C(root@pam), with a password and not with a token, may also give the path of a file of the
                node.
            type: str
          image:
            description:
              - The image that a new disk is filled with, which is fetched to a storage when it is not there yet, as
                M(cloudbridge.proxmox.pve_volume) does. All guests reuse it.
              - It is not looked at for a disk that is there.
              - An image that is larger than O(cloudbridge.proxmox.pve_vm#module:disks[].size) is an error, before it is
                fetched where its size is known. That of the disk in a qcow2 or vmdk image at
                O(cloudbridge.proxmox.pve_vm#module:disks[].image.url) is only known once it is there. Such an image
                stays on the storage.
            type: dict
            suboptions:
              storage:
                description: The storage for the image, which has to take the content V(import).
                type: str
                required: true
              url:
                description: The node downloads the image from here.
                type: str
              src:
                description: The path of a file that is uploaded, on the host that the task runs on.
                type: path
              checksum:
                description: The checksum of the image, as in V(sha256:9f86d0...).
                type: str
              file_name:
                description:
                  - What the image is called on the storage. It has to end in C(.qcow2), C(.raw) or C(.vmdk).
                  - Without it, the last part of the source.
                type: str
              verify_certificates:
                description: Whether the node checks the certificate of the server of
                  O(cloudbridge.proxmox.pve_vm#module:disks[].image.url).
                type: bool
                default: true
              replace:
                description: Whether another file of the name is replaced. Otherwise it is an error.
                type: bool
                default: false
          volume:
            description:
              - An existing volume to attach, as in V(local-lvm:vm-100-disk-2).
              - The user C(root@pam), with a password and not with a token, may also give a device as in V(/dev/sdb).
            type: str
          iso:
            description:
              - The image in a CD-ROM drive, as in V(local:iso/debian.iso).
              - V(none) empties the drive, and V(cdrom) is the drive of the node.
            aliases:
              - iso_image
            type: str
          aio:
            description: How the disk is read and written.
            type: str
            choices:
              - native
              - threads
              - io_uring
          backup:
            description: Whether backups take the disk in.
            type: bool
          bps:
            description: The most bytes per second. PVE stores it as O(cloudbridge.proxmox.pve_vm#module:disks[].mbps).
            type: int
          bps_max_length:
            description: How many seconds O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_max) may last. V(0) is QEMU's
              default.
            type: int
          bps_rd:
            description: The most bytes per second to read. PVE stores it as
              O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_rd).
            type: int
          bps_rd_max_length:
            description: How many seconds O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_rd_max) may last. V(0) is
              QEMU's default.
            type: int
          bps_wr:
            description: The most bytes per second to write. PVE stores it as
              O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_wr).
            type: int
          bps_wr_max_length:
            description: How many seconds O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_wr_max) may last. V(0) is
              QEMU's default.
            type: int
          cache:
            description: How the node caches the disk.
            type: str
            choices:
              - none
              - writethrough
              - writeback
              - unsafe
              - directsync
          detect_zeroes:
            description: Whether writes of zeroes are turned into holes.
            type: bool
          discard:
            description: Whether the guest can give blocks back.
            type: bool
          iops:
            description: The most operations per second. V(0) is no limit.
            type: int
          iops_max:
            description: The most operations per second for a short time. V(0) is no such limit.
            type: int
          iops_max_length:
            description: How many seconds O(cloudbridge.proxmox.pve_vm#module:disks[].iops_max) may last. V(0) is QEMU's
              default.
            type: int
          iops_rd:
            description: The most reads per second. V(0) is no limit.
            type: int
          iops_rd_max:
            description: The most reads per second for a short time. V(0) is no such limit.
            type: int
          iops_rd_max_length:
            description: How many seconds O(cloudbridge.proxmox.pve_vm#module:disks[].iops_rd_max) may last. V(0) is
              QEMU's default.
            type: int
          iops_wr:
            description: The most writes per second. V(0) is no limit.
            type: int
          iops_wr_max:
            description: The most writes per second for a short time. V(0) is no such limit.
            type: int
          iops_wr_max_length:
            description: How many seconds O(cloudbridge.proxmox.pve_vm#module:disks[].iops_wr_max) may last. V(0) is
              QEMU's default.
            type: int
          iothread:
            description: Whether the disk has a thread of its own. Only for C(scsi) and C(virtio) disks.
            type: bool
          mbps:
            description: The most MB per second. V(0) is no limit.
            type: float
          mbps_max:
            description: The most MB per second for a short time. Needs
              O(cloudbridge.proxmox.pve_vm#module:disks[].mbps). V(0) is no such limit.
            type: float
          mbps_rd:
            description: The most MB per second to read. V(0) is no limit.
            type: float
          mbps_rd_max:
            description: The most MB per second to read for a short time. Needs
              O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_rd). V(0) is no such limit.
            type: float
          mbps_wr:
            description: The most MB per second to write. V(0) is no limit.
            type: float
          mbps_wr_max:
            description: The most MB per second to write for a short time. Needs
              O(cloudbridge.proxmox.pve_vm#module:disks[].mbps_wr). V(0) is no such limit.
            type: float
          model:
            description: The model that the guest sees, up to 40 bytes. Only for C(ide) disks.
            type: str
          product:
            description: The name of the product that the guest sees. Only for C(scsi) disks.
            type: str
          queues:
            description: The number of queues, V(2) and more. V(0) is the default. Only for C(scsi) disks.
            type: int
          replicate:
            description: Whether replication takes the disk in.
            type: bool
          rerror:
            description: What QEMU does when a read fails.
            type: str
            choices:
              - ignore
              - report
              - stop
          ro:
            description: Whether the disk can only be read. Only for C(scsi) and C(virtio) disks.
            type: bool
          scsiblock:
            description: Whether a block device of the node is passed through whole. Only for C(scsi) disks.
            type: bool
          serial:
            description: The serial number that the guest sees, up to 20 bytes, in plain text.
            type: str
          shared:
            description: Whether the volume is on all nodes although its storage is not marked as shared.
            type: bool
          snapshot:
            description: Whether what the guest writes is thrown away at its stop.
            type: bool
          ssd:
            description: Whether the guest takes the disk for an SSD. Not for C(virtio) disks.
            type: bool
          vendor:
            description: The name of the vendor that the guest sees. Only for C(scsi) disks.
            type: str
          werror:
            description: What QEMU does when a write fails.
            type: str
            choices:
              - enospc
              - ignore
              - report
              - stop
          wwn:
            description: The worldwide name, as in V(0x5000c500a0b1c2d3). Not for C(virtio) disks.
            type: str
      networks:
        description:
          - Network devices, by slot. Slots that are not named stay as they are, as do options that are not given.
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
          model:
            description: The model. A new device is V(virtio) unless this is given.
            type: str
            choices:
              - e1000
              - e1000-82540em
              - e1000-82544gc
              - e1000-82545em
              - e1000e
              - i82551
              - i82557b
              - i82559er
              - ne2k_isa
              - ne2k_pci
              - pcnet
              - rtl8139
              - virtio
              - vmxnet3
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
            description: The VLANs that pass, as numbers and ranges. An empty list lets all pass.
            type: list
            elements: str
          rate:
            description: The most MB per second. V(0) is no limit.
            type: float
          firewall:
            description: Whether PVE's firewall looks after the device.
            type: bool
          mtu:
            description: The MTU. V(1) is that of the bridge, and V(0) is the default.
            type: int
          link_down:
            description: Whether the cable is pulled.
            type: bool
          queues:
            description: The number of queues. V(0) is the default.
            type: int
      efi_disk:
        description:
          - The disk that UEFI keeps its variables on. It is made once, and then
            O(cloudbridge.proxmox.pve_vm#module:efi_disk.storage) and
            O(cloudbridge.proxmox.pve_vm#module:efi_disk.ms_cert) can be changed.
          - What is not given stays as it is.
        aliases:
          - efidisk0
        type: dict
        suboptions:
          storage:
            description: The storage. A new disk needs it; a disk that is on another one is moved.
            type: str
          type:
            description: The size of the variable store. A new disk has V(4m) unless this is given.
            aliases:
              - efitype
            type: str
            choices:
              - 2m
              - 4m
          pre_enrolled_keys:
            description: Whether the keys for Secure Boot are there from the start. If not set, a new disk has none.
            type: bool
          ms_cert:
            description:
              - The newest certificates of Microsoft that PVE has enrolled. V(2023k) enrols those of 2023.
              - A new disk with keys has those that the node knows. A disk without keys cannot have any.
            type: str
            choices:
              - '2011'
              - 2023k
          format:
            description: The format of a new disk.
            type: str
            choices:
              - raw
              - qcow2
              - vmdk
      tpm:
        description:
          - The state of a TPM. It is made once, and only its storage can be changed.
          - What is not given stays as it is.
        aliases:
          - tpmstate0
        type: dict
        suboptions:
          storage:
            description: The storage. A new TPM needs it; one that is on another storage is moved.
            type: str
          version:
            description: The version of the TPM. A new one is V(v2.0) unless this is given.
            type: str
            choices:
              - v1.2
              - v2.0
      cloud_init:
        description: What cloud-init configures in the guest at its next start.
        type: dict
        suboptions:
          storage:
            description: The storage of the drive that carries it. A guest without such a drive gets one.
            type: str
          slot:
            description: The slot of a new drive, V(ide2) unless this is given.
            type: str
          user:
            description: The user who may log in. An empty text leaves it to the image.
            aliases:
              - ciuser
            type: str
          password:
            description: The user's password. PVE never returns it, so it cannot be compared. An empty text unsets it.
            aliases:
              - cipassword
            type: str
          update_password:
            description:
              - V(on_create) sets the password of a new guest, and of one that has none.
              - V(always) sets it at each run, which is a change each time.
              - V(on_create) is used when nothing says otherwise.
            type: str
            choices:
              - on_create
              - always
          ssh_keys:
            description:
              - The public keys that may log in. An entry may be the text of a whole C(authorized_keys) file; its
                comments and blank lines are left out.
              - A line that is no key fails the task before anything is changed, since PVE would refuse all of them.
            aliases:
              - sshkeys
            type: list
            elements: str
          ipconfig:
            description: The addresses of the network devices. What is given for a device is all that it gets.
            type: list
            elements: dict
            suboptions:
              slot:
                description: The network device, as in V(net0).
                type: str
                required: true
              ip:
                description: V(dhcp), or an address with the length of its prefix, V(8) or more, as in V(192.0.2.10/24).
                type: str
              gateway:
                description: The gateway for O(cloudbridge.proxmox.pve_vm#module:cloud_init.ipconfig[].ip).
                type: str
              ip6:
                description: V(dhcp), V(auto), or an address as in V(2001:db8::10/64).
                type: str
              gateway6:
                description: The gateway for O(cloudbridge.proxmox.pve_vm#module:cloud_init.ipconfig[].ip6).
                type: str
          nameservers:
            description: The DNS servers.
            type: list
            elements: str
          search_domain:
            description: The DNS search domain.
            type: str
          upgrade:
            description: Whether the guest's packages are upgraded at its first start.
            aliases:
              - ciupgrade
            type: bool
          regenerate:
            description:
              - Whether the drive of a running guest is made anew, so that it holds the settings. The guest reads them
                when it boots. Each start by PVE makes the drive anew as well.
              - V(on_change) does it when this task has changed a setting of cloud-init.
              - V(always) asks PVE what the drive lacks, with one more request, and makes it anew if that is anything.
                PVE reports only new and removed addresses.
              - V(never) leaves the drive as it is, and returns in RV(cloudbridge.proxmox.pve_vm#module:pending) what it
                lacks.
              - A guest that is rebooted by O(cloudbridge.proxmox.pve_vm#module:apply_pending=reboot) gets its new drive
                by that.
              - V(on_change) is used when nothing says otherwise.
            type: str
            choices:
              - on_change
              - always
              - never
          custom:
            description:
              - Files of your own, as volumes, in place of what PVE generates. What is not given stays as it is.
              - An empty text unsets one of them, and an empty dictionary all.
            type: dict
            suboptions:
              user:
                description: The user data, as in V(local:snippets/user.yaml).
                type: str
              network:
                description: The network data.
                type: str
              meta:
                description: The meta data.
                type: str
              vendor:
                description: The vendor data.
                type: str
      usb:
        description: USB devices, by slot.
        type: list
        elements: dict
        suboptions:
          slot:
            description: The slot, V(usb0) to V(usb13).
            type: str
            required: true
          state:
            description: Whether the device is there.
            type: str
            choices:
              - present
              - absent
            default: present
          host:
            description: The device of the node, as vendor and product or as bus and port, or V(spice).
            type: str
          mapping:
            description: The name of a mapping of the cluster.
            type: str
          usb3:
            description: Whether the device is a USB 3 one.
            type: bool
      hostpci:
        description: PCI devices of the node, by slot.
        type: list
        elements: dict
        suboptions:
          slot:
            description: The slot, V(hostpci0) to V(hostpci15).
            type: str
            required: true
          state:
            description: Whether the device is there.
            type: str
            choices:
              - present
              - absent
            default: present
          host:
            description: The device's address, as in V(0000:01:00.0).
            type: str
          mapping:
            description: The name of a mapping of the cluster.
            type: str
          mdev:
            description: The type of mediated device.
            type: str
          pcie:
            description: Whether the device is on the PCI Express bus, which needs the machine V(q35).
            type: bool
          rombar:
            description: Whether the guest sees the device's ROM.
            type: bool
          romfile:
            description: A ROM file of the node.
            type: str
          primary_gpu:
            description: Whether the device is the guest's display.
            type: bool
      config:
        description:
          - Any other setting, by PVE's own name and in PVE's own words.
          - Disks, network devices, name, tags, passwords and SSH keys are not, since they have options that take care.
          - The names C(cdrom) and C(smp) are refused, since PVE changes C(ide2) and C(sockets) under them.
        type: dict
      apply_pending:
        description:
          - V(reboot) reboots a running guest for which changes are pending, be it from this task or from before.
          - Settings of cloud-init count as well, as far as this task has changed them or PVE tells that the drive lacks
            them.
          - V(never) leaves that to you, and returns RV(cloudbridge.proxmox.pve_vm#module:reboot_required).
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
          - One of O(cloudbridge.proxmox.pve_vm#module:vmid) and O(cloudbridge.proxmox.pve_vm#module:name) is required.
            With both, the guest must have that number and that name.
        type: int
      name:
        description:
          - The guest's name, which has to be a DNS name.
          - Without O(cloudbridge.proxmox.pve_vm#module:vmid) it says which guest is meant. Several guests of that name
            are an error, which lists them.
          - PVE forgets the names of guests whose node is lost. When one of these may be meant, the task fails and asks
            for O(cloudbridge.proxmox.pve_vm#module:vmid).
          - With O(cloudbridge.proxmox.pve_vm#module:vmid), a guest of that number must have this name, unless
            O(cloudbridge.proxmox.pve_vm#module:rename) is set.
        type: str
      <<: *shared
"""
