"""A WMI that answers what a test says, and a few registries as ``reg export`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.windows.wmi import Row, WmiError, WmiMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakeWmi:
    """:class:`agent.windows.wmi.Wmi`: rows, or the error to raise, by class name. A class not named is missing."""

    def __init__(self, **answers: list[Row] | WmiError) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str]] = []

    def instances(
        self, namespace: str, class_name: str, properties: Sequence[str], where: str = ""
    ) -> list[Row]:
        self.asked.append((class_name, where))
        answer = self._answers.get(class_name)
        if answer is None:
            raise WmiMissingError(f"{namespace}:{class_name}: error 0x80041010")
        if isinstance(answer, WmiError):
            raise answer
        return [{name: row.get(name) for name in properties} for row in answer]


WORKSTATION = r"""Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion]
"SystemRoot"="C:\\Windows"
"BuildLab"="22621.ni_release.220506-1250"
"CurrentBuild"="22631"
"CurrentBuildNumber"="22631"
"CurrentMajorVersionNumber"=dword:0000000a
"CurrentMinorVersionNumber"=dword:00000000
"CurrentVersion"="6.3"
"DisplayVersion"="23H2"
"EditionID"="Professional"
"InstallationType"="Client"
"ProductName"="Windows 10 Pro"
"ReleaseId"="2009"
"UBR"=dword:00000d6f

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Cryptography]
"MachineGuid"="6F1A2B3C-0000-4444-8888-0123456789AB"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\ProductOptions]
"ProductType"="WinNT"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\ComputerName\ActiveComputerName]
"ComputerName"="UBND-PC07"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters]
"Hostname"="ubnd-pc07"
"NV Hostname"="ubnd-pc07"
"Domain"="xa.tinh.gov.vn"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Environment]
"PROCESSOR_ARCHITECTURE"="AMD64"
"Path"=hex(2):25,00,53,00,79,00,73,00,74,00,65,00,6d,00,52,00,6f,00,6f,00,74,00,\
  25,00,00,00

[HKEY_LOCAL_MACHINE\HARDWARE\DESCRIPTION\System\CentralProcessor\0]
"ProcessorNameString"="Intel(R) Core(TM) i3-10100 CPU @ 3.60GHz"

[HKEY_LOCAL_MACHINE\HARDWARE\DESCRIPTION\System\CentralProcessor\1]
"ProcessorNameString"="Intel(R) Core(TM) i3-10100 CPU @ 3.60GHz"
"""
