# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is run in a Windows guest: programs of Windows PowerShell 5.1, which each Windows since Server 2016 has.

The agent there passes words on by CreateProcess, which takes 32767 characters (qga/commands.c, glib's gspawn-win32.c),
and says in the language of the guest that a file is missing: nothing may depend on its words. PowerShell reads its
standard input itself. So a job is a PowerShell that starts the command as a process of its own, with files around it.
"""

from __future__ import annotations

import base64
import re
import subprocess
import typing as t

from ..._pve.errors import InvalidRequest
from .guest_shell import Attributes

JOBS = "C:/Windows/Temp/.pve-agent-"
# Files of a job, or of an upload, that nobody has asked for are removed by a job that begins so many minutes later.
KEPT_MINUTES = 10
# What fits into the arguments: base64 of UTF-8, in a program that is base64 of UTF-16.
_MOST_SCRIPT = 4096
_POWERSHELL = ("powershell.exe", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass")
# The words before and after an encoded program, as Ansible's shell plugin writes them.
_ENCODED = re.compile(
    r"(?:& )?powershell(?:\.exe)? (?P<options>[\w -]*-EncodedCommand )'?(?P<code>[\w+/=]+)'?", re.IGNORECASE
)
# It is no program of PowerShell, but a directory, a program and its arguments, each on a line.
_NATIVE = "#argv\n"
_CONTROL = re.compile("[\0-\x1f]")
# PowerShell takes typographic quotes for single ones.
_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")

_STRICT = "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue'\n"
_MAKE = """if(-not [IO.Directory]::Exists($d)){{$k=New-Object Security.AccessControl.DirectorySecurity
$k.SetSecurityDescriptorSddlForm('D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
[void][IO.Directory]::CreateDirectory($d,$k)}}
"""
# Directories of others are theirs, whatever they are called, and no job has made a link. One whose owner cannot be read
# is kept.
_OWN = """$own={{param($x)try{{$m=[Security.Principal.WindowsIdentity]::GetCurrent().User.Value
$o=$x.GetAccessControl().GetOwner([Security.Principal.SecurityIdentifier]).Value
-not($x.Attributes -band [IO.FileAttributes]::ReparsePoint) -and @('S-1-5-18','S-1-5-32-544',$m) -contains $o
}}catch{{$false}}}}
"""
_PREPARE = f"""{_STRICT}$d={{directory}}
{_MAKE}"""
# Whoever makes the file pid is the one that runs the command, however often it was sent.
_RUN = f"""{_STRICT}$d={{directory}};$f=[IO.File];$u=New-Object Text.UTF8Encoding $false
foreach($r in @({{remove}})){{{{Remove-Item -LiteralPath $r -Recurse -Force -ErrorAction SilentlyContinue}}}}
{_OWN}$t=(Get-Date).AddMinutes(-{KEPT_MINUTES})
Get-ChildItem C:/Windows/Temp -Directory -Filter .pve-agent-*|Where-Object {{{{$_.LastWriteTime -lt $t -and
((Test-Path "$($_.FullName)/done") -or -not (Test-Path "$($_.FullName)/pid")) -and (&$own $_)}}}}|
Remove-Item -Recurse -Force -ErrorAction SilentlyContinue
{_MAKE}try{{{{$q=$f::Open("$d/pid",'CreateNew','Write','Read')
$b=$u.GetBytes("$PID $((Get-Process -Id $PID).StartTime.Ticks)");$q.Write($b,0,$b.Length);$q.Close()}}}}
catch{{{{Start-Sleep 1;"again $(($f::ReadAllText("$d/pid") -split ' ')[0])";exit 0}}}}
$c='{{script}}'
if($c){{{{$c=$u.GetString([Convert]::FromBase64String($c))}}}}else{{{{$c=$f::ReadAllText("$d/script",$u)}}}}
$i=$f::Create("$d/stdin")
foreach($p in [IO.Directory]::GetFiles($d,'in.*')|Sort-Object){{{{$q=$f::OpenRead($p);$q.CopyTo($i);$q.Close()
$f::Delete($p)}}}}
$i.Close();$n=New-Object Diagnostics.ProcessStartInfo
if($c.StartsWith("#argv`n",'Ordinal')){{{{$x=$c -split "`n",4;$n.FileName=$x[2];$n.Arguments=$x[3]
if($x[1]){{{{$n.WorkingDirectory=$x[1]}}}}}}}}
else{{{{$c="try{{{{[Console]::OutputEncoding=New-Object Text.UTF8Encoding `$false}}}}catch{{{{}}}}
`$ProgressPreference='SilentlyContinue'
$c
if(-not `$?){{{{if(`$LASTEXITCODE){{{{exit `$LASTEXITCODE}}}};exit 1}}}}"
$f::WriteAllText("$d/script.ps1",$c,(New-Object Text.UTF8Encoding $true));$n.FileName='powershell.exe'
$n.Arguments='-NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -File "'+
"$d/script.ps1".Replace('/','\\')+'"'}}}}
$n.UseShellExecute=$false;$n.CreateNoWindow=$true
$n.RedirectStandardInput=$n.RedirectStandardOutput=$n.RedirectStandardError=$true
$o=$f::Create("$d/out");$e=$f::Create("$d/err")
try{{{{$p=[Diagnostics.Process]::Start($n)}}}}
catch{{{{$s=127;$b=$u.GetBytes($_.Exception.GetBaseException().Message);$e.Write($b,0,$b.Length)}}}}
if($p -is [Diagnostics.Process]){{{{$w=@($p.StandardOutput.BaseStream.CopyToAsync($o),
$p.StandardError.BaseStream.CopyToAsync($e));$i=$f::OpenRead("$d/stdin")
try{{{{$i.CopyTo($p.StandardInput.BaseStream);$p.StandardInput.Close()}}}}catch{{{{}}}}
$i.Close();$p.WaitForExit();[void][Threading.Tasks.Task]::WaitAll([Threading.Tasks.Task[]]$w,2000)
$s=[int64]$p.ExitCode;if($s -lt 0){{{{$s+=4294967296}}}}}}}}
$o.Close();$e.Close()
foreach($q in 'stdin','script','script.ps1'){{{{$f::Delete("$d/$q")}}}}
$y=(New-Object IO.FileInfo "$d/out").Length;$z=(New-Object IO.FileInfo "$d/err").Length
$h="$s $y $z`n";$f::WriteAllText("$d/ended",$h);$f::Move("$d/ended","$d/done")
$w=[Console]::OpenStandardOutput();$b=$u.GetBytes($h);$w.Write($b,0,$b.Length)
if($y+$z -le {{most}}){{{{foreach($q in 'out','err'){{{{$b=$f::ReadAllBytes("$d/$q");$w.Write($b,0,$b.Length)}}}}}}}}
$w.Flush();exit 0
"""
_IS_ALIVE = (
    _STRICT
    + """$x=[IO.File]::ReadAllText({file}) -split ' '
try{{$q=Get-Process -Id $x[0];exit [int]("$($q.StartTime.Ticks)" -ne $x[1])}}catch{{exit 1}}
"""
)
_PATH = """$f=$ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath({path})
"""
_BEGIN = f"""{_STRICT}{_PATH}$p="$f.{{key}}.part"
trap{{{{[IO.File]::Delete($p);[Console]::Error.WriteLine($_.Exception.Message);exit 1}}}}
if([IO.Directory]::Exists($f)){{{{[Console]::Error.WriteLine("$f is a directory");exit 1}}}}
"""
_END = """if((Get-FileHash -LiteralPath $p -Algorithm SHA256).Hash -ne '{checksum}'){{
throw 'what arrived has another checksum'}}
if([IO.File]::Exists($f)){{[IO.File]::Replace($p,$f,[NullString]::Value)}}else{{[IO.File]::Move($p,$f)}}
exit 0
"""
_APPEND = (
    _STRICT
    + """$o=[IO.File]::Open({part},'Append')
foreach($p in [IO.Directory]::GetFiles({directory},'in.*')|Sort-Object){{
$q=[IO.File]::OpenRead($p);$q.CopyTo($o);$q.Close();[IO.File]::Delete($p)}}
$o.Close();exit 0
"""
)
_ABSENT = f"""{_STRICT}{_PATH}if([IO.Directory]::Exists($f)){{{{'directory';exit 0}}}}
if(-not [IO.File]::Exists($f)){{{{'absent';exit 0}}}}
$n=(New-Object IO.FileInfo $f).Length;$h=(Get-FileHash -LiteralPath $f -Algorithm SHA256).Hash.ToLower()
"""
_EXAMINE = (
    _ABSENT
    + """$w=[Console]::OpenStandardOutput()
$b=[Text.Encoding]::ASCII.GetBytes("-`n-`n$n`n$h`n--`n");$w.Write($b,0,$b.Length)
if($n -le {most}){{$b=[IO.File]::ReadAllBytes($f);$w.Write($b,0,$b.Length)}}
$w.Flush();exit 0
"""
)
_CUT = """$q=[IO.File]::OpenRead({path});$o=[IO.File]::Create("$d/part");[void]$q.Seek({offset},'Begin')
$b=New-Object byte[] 1048576
for($k=0;$k -lt {blocks};$k++){{$m=$q.Read($b,0,$b.Length);if(-not $m){{break}};$o.Write($b,0,$m)}}
$o.Close();$q.Close();exit 0
"""


def quoted(text: str) -> str:
    """A word as PowerShell takes it literally."""
    return "'" + _QUOTES.sub(r"\1\1", text) + "'"


def encoded(script: str) -> list[str]:
    """A program of PowerShell as words that no shell changes."""
    return [*_POWERSHELL, "-EncodedCommand", base64.b64encode(script.encode("utf-16-le")).decode("ascii")]


def _check_line(text: str, what: str) -> None:
    """Refuse what is more than a line: it would be taken for another program, or for arguments."""
    if _CONTROL.search(text):
        raise InvalidRequest(
            f"{what} {text!r} has a line break or another control character: no name in Windows has one"
        )


class PowerShell:
    """The programs of jobs and of transfers, for Windows guests; GuestShell says what each of them is."""

    name = "powershell"
    # Its standard input is PowerShell's own affair: input comes in files.
    most_input = 0
    most_pieces = 0
    has_modes = False

    def takes(self, script: bytes) -> bool:
        return len(script) <= _MOST_SCRIPT

    def is_absolute(self, path: str) -> bool:
        return bool(re.match(r"[A-Za-z]:[\\/]", path))

    def directory(self, key: str) -> str:
        return f"{JOBS}{key}"

    def prepare(self, directory: str) -> list[str]:
        return encoded(_PREPARE.format(directory=quoted(directory)))

    def piece(self, directory: str, number: int) -> list[str]:
        raise NotImplementedError(f"piece {number} of the input in {directory} is a file")

    def run(self, directory: str, most: int, pieces: int | None, script: str, remove: t.Sequence[str]) -> list[str]:
        """Run it; without input it reads an empty one, as with no pieces."""
        del pieces
        return encoded(
            _RUN.format(
                directory=quoted(directory),
                most=most,
                script=base64.b64encode(script.encode("utf-8", "surrogateescape")).decode("ascii"),
                remove=",".join(map(quoted, remove)),
            )
        )

    def remove(self, *directories: str) -> list[str]:
        return ["cmd.exe", "/d", "/c", "rmdir", "/s", "/q", *(name.replace("/", "\\") for name in directories)]

    def command(self, text: str) -> str:
        """A line as Ansible sends it: one that starts PowerShell is started as it is, so that it gets its input."""
        found = _ENCODED.fullmatch(text)
        return f"{_NATIVE}\npowershell.exe\n{found['options']}{found['code']}" if found else text

    def line(self, argv: t.Sequence[str]) -> str:
        _check_line(argv[0], "the program")
        return f"{_NATIVE}\n{argv[0]}\n{subprocess.list2cmdline(argv[1:])}"

    def within(self, directory: str, script: str) -> str:
        _check_line(directory, "the directory")
        if script.startswith(_NATIVE):
            return f"{_NATIVE}{directory}{script[len(_NATIVE) :]}"
        return f"Set-Location -LiteralPath {quoted(directory)} -ErrorAction Stop\n{script}"

    def exists(self, pattern: str, directory: str) -> str:
        script = f"if(Test-Path -Path {quoted(pattern)}){{exit 0}};exit 1"
        return self.within(directory, script) if directory else script

    def answering(self, script: str, directory: str, length: int, prompt: str, success: str) -> str:
        del script, directory, length, success
        raise InvalidRequest(
            f"no password can be given to what asks for it by {prompt!r} in a Windows guest: use runas"
        )

    def is_alive(self, directory: str) -> str:
        return _IS_ALIVE.format(file=quoted(f"{directory}/pid"))

    def put(self, path: str, key: str, checksum: str, attributes: Attributes) -> str:
        del attributes
        begin = _BEGIN.format(path=quoted(path), key=key)
        return f'{begin}[IO.File]::Copy("$PSScriptRoot\\stdin",$p)\n{_END.format(checksum=checksum)}'

    def begin_put(self, path: str, key: str, directory: str, attributes: Attributes) -> str:
        del attributes
        begin = _BEGIN.format(path=quoted(path), key=key)
        make = _MAKE.format()
        return f"{begin}[IO.File]::Create($p).Close()\n$d={quoted(directory)}\n{make}[Console]::Out.Write($p)\nexit 0\n"

    def append(self, directory: str, part: str) -> str:
        return _APPEND.format(part=quoted(part), directory=quoted(directory))

    def end_put(self, path: str, part: str, checksum: str, directory: str, attributes: Attributes) -> str:
        del attributes
        key = part[len(path) + 1 : -len(".part")]
        begin = _BEGIN.format(path=quoted(path), key=key)
        return f"{begin}Remove-Item -LiteralPath {quoted(directory)} -Recurse -Force\n{_END.format(checksum=checksum)}"

    def cut(self, path: str, directory: str, number: int, size: int) -> str:
        make = f"$d={quoted(directory)}\n{_MAKE.format()}"
        cut = _CUT.format(path=quoted(path), offset=number * size, blocks=size // 1048576)
        return f"{_STRICT}{make}{cut}"

    def change(self, path: str, attributes: Attributes) -> str:
        raise InvalidRequest(f"{path} has no mode and no owner of this kind: {attributes}")

    def delete(self, path: str) -> str:
        return f"{_STRICT}Remove-Item -LiteralPath {quoted(path)} -Force\nexit 0\n"

    def examine(self, path: str, most: int) -> str:
        return _EXAMINE.format(path=quoted(path), most=most)

    def abandon(self, directory: str, part: str) -> str:
        return f"Remove-Item -LiteralPath {quoted(directory)},{quoted(part)} -Recurse -Force\nexit 0\n"

    def look(self, path: str, directory: str = "") -> str:
        copy = ""
        if directory:
            copy = f'$d={quoted(directory)}\n{_MAKE.format()}[IO.File]::Copy($f,"$d/file")\n'
        return f'{_ABSENT.format(path=quoted(path))}{copy}"$n $h"\nexit 0\n'
