# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Public keys that OpenSSH takes; nobody has the private ones."""

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC38DhfpeGoKwux2QHXdduzEAmz37mI/3UQurlmNWJ06"
RSA = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDCIiQosF+VT6WWGbt7PhSQENxWxZuO9pxTPKqxIoNrYPNZSMafWKii2NV0VcW6"
    "4LsyaxCOsbA+GZFXgIPl8Zxlf9G+xHIxzvXc46hqfnh/daxizem3BeoAaKni7PR8EXGAOqP5nG/pCOTLVb615fnY5eNmugfbw+xx"
    "XsQBIAGZQnKPHgRpqryyr3peMfy4n+wSlgm8J8awdKJwtVVsQg4DaIF1VaKpt1hxqSWqvsJHLSSSHnMpoWNKQx8VWGN2UWpN/eNb"
    "uQJO8m8jyM9PRdzzla5DKuXABf3YdM1fS2QtzI7JKEobEc9b1AjvnCD+tPvtztlYsUno/Nn3kvRq+wJV"
)
ECDSA = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGw993tOnSx4P5IGs2DD2P0tMobu"
    "YoeO+4hZLqP+GOIv+9H4NLvoZQnkzooNCC/72I2+3/ltbw4x03+nUqa60io="
)
