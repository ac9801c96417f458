"""One device, signed in to: the pinned key first, then commands, each bounded in time and size."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from agent import reasons
from agent.runtime.files import read_own

if TYPE_CHECKING:
    from types import TracebackType

    from agent.probe.ssh.platforms import Platform
    from agent.probe.ssh.settings import Device

#: A configuration, and the output of any other command, may be of so many characters.
CONFIGURATION_CHARACTERS: Final = 4 << 20
FACTS_CHARACTERS: Final = 256 << 10
_CONNECT_SECONDS: Final = 20.0
_PROMPT_CHARACTERS: Final = 256
_LAST_CHARACTERS: Final = 4096
_LONGEST_KEY: Final = 64 << 10
#: What each kind of key signs with. A device may have a key of each kind, and shows the one that it is asked for.
_KINDS: Final = (
    ("ssh-ed25519",),
    ("rsa-sha2-512", "rsa-sha2-256"),
    ("ecdsa-sha2-nistp256",),
    ("ecdsa-sha2-nistp384",),
    ("ecdsa-sha2-nistp521",),
)
_OLD_RSA: Final = "ssh-rsa"
#: What devices of before about 2015 know, beside what is safe.
_OLD: Final = {
    "kex_algs": (
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
        "diffie-hellman-group1-sha1",
    ),
    "encryption_algs": ("aes256-cbc", "aes128-cbc", "3des-cbc"),
    "mac_algs": ("hmac-sha1",),
    "server_host_key_algs": (_OLD_RSA,),
}
#: Escape sequences of terminals (ECMA-48, 5.4; and titles), and what erases a pager's prompt.
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-9;?]{0,16}[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78])|\x07"
)
_ENDS: Final = re.compile(r"(?<!\r)\r*\n")


class SessionError(Exception):
    """``code`` is ``unreachable``, ``refused``, ``host_key_changed``, ``host_key_unknown`` or ``unreadable``; ``str()``
    says why, for people. ``shown``: the key that the device showed, ``SHA256:…``."""

    def __init__(self, code: str, why: str, shown: str = "") -> None:
        super().__init__(why)
        self.code, self.shown = code, shown


class _Pinned(asyncssh.SSHClient):
    def __init__(self, pin: str) -> None:
        self._pin = pin
        self.shown = ""

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key.get_fingerprint()
        return is_pinned(key, self._pin)

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """What a device says to strangers is not shown to anybody."""


class Session:
    """``async with Session(…) as session: await session.ask(command, limit)``.

    ``secret`` is the password, or None where ``device.key_file`` is the way in. ``kind``: the device is asked for the
    key that signs with one of these (:func:`pinned_key`); none: for any.

    Raises:
        SessionError: the key is not the pinned one (nothing was said of who signs in), nobody answers, it refuses.
    """

    def __init__(
        self,
        device: Device,
        platform: Platform,
        secret: str | None,
        command_seconds: float,
        kind: tuple[str, ...] = (),
    ) -> None:
        self._device = device
        self._platform = platform
        self._secret = secret
        self._seconds = command_seconds
        self._kind = kind
        self.shown_key = ""

    async def __aenter__(self) -> Session:
        self._connection = await self._connect()
        try:
            if self._platform.mode == "shell":
                await self._open_shell()
        except BaseException:
            self._connection.abort()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._connection.wait_closed()

    async def _connect(self) -> asyncssh.SSHClientConnection:
        device, pinned = self._device, _Pinned(self._device.host_key)
        options: dict[str, Any] = _algorithms(device, self._kind)
        if device.key_file:
            options["client_keys"] = [_key(device.key_file)]
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                connection = await asyncssh.connect(
                    device.host,
                    device.port,
                    config=None,
                    client_factory=lambda: pinned,
                    known_hosts=([], [], []),
                    username=device.user,
                    password=self._secret,
                    agent_path=None,
                    x509_trusted_certs=None,
                    preferred_auth=("publickey", "keyboard-interactive", "password"),
                    keepalive_interval=15,
                    compression_algs=("none",),  # a packet could unfold to a thousand times its size
                    **{"client_keys": None, **options},
                )
        except asyncssh.HostKeyNotVerifiable as error:
            code = "host_key_changed" if device.host_key else "host_key_unknown"
            why = reasons.HOST_KEY_CHANGED if device.host_key else reasons.HOST_KEY_UNKNOWN
            raise SessionError(code, why(shown=pinned.shown), pinned.shown) from error
        except asyncssh.PermissionDenied as error:
            raise SessionError("refused", reasons.SIGN_IN_REFUSED(), pinned.shown) from error
        except (asyncssh.Error, asyncssh.KeyImportError, ValueError) as error:
            raise SessionError("refused", reasons.NO_SSH(detail=_words(error)), pinned.shown) from error
        except TimeoutError as error:
            raise SessionError("unreachable", reasons.TIMED_OUT()) from error
        except OSError as error:
            raise SessionError("unreachable", error.strerror or _words(error)) from error
        self.shown_key = pinned.shown
        return connection

    async def _open_shell(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                self._shell = await self._connection.create_process(
                    term_type="vt100", term_size=(511, 200), encoding="utf-8", errors="replace"
                )
            await self._until_prompt(FACTS_CHARACTERS)
        except TimeoutError as error:
            raise SessionError("unreadable", reasons.TIMED_OUT()) from error
        except (asyncssh.Error, OSError) as error:
            raise SessionError("unreadable", _words(error)) from error
        for command in self._platform.before:
            await self.ask(command, FACTS_CHARACTERS)

    async def ask(self, command: str, limit: int) -> str:
        """What the device answers, without the echo and the prompt.

        Raises:
            SessionError: it answers too long or too late, or hangs up.
        """
        try:
            if self._platform.mode == "exec":
                return await self._run(command, limit)
            self._shell.stdin.write(command + "\n")
            output = await self._until_prompt(limit)
        except TimeoutError as error:
            raise SessionError("unreadable", reasons.TIMED_OUT()) from error
        except (asyncssh.Error, OSError) as error:
            raise SessionError("unreadable", _words(error)) from error
        first, _, rest = output.partition("\n")
        return rest if command in first else output

    async def _run(self, command: str, limit: int) -> str:
        async with asyncio.timeout(self._seconds):
            process = await self._connection.create_process(command, encoding="utf-8", errors="replace")
        try:
            pieces, size = [], 0
            async with asyncio.timeout(self._seconds):
                while piece := await process.stdout.read(65_536):
                    pieces.append(piece)
                    size += len(piece)
                    if size > limit:
                        raise SessionError("unreadable", reasons.ANSWER_TOO_LONG(limit=limit))
        finally:
            process.close()
        return _plain("".join(pieces))

    async def _until_prompt(self, limit: int) -> str:
        """Everything up to the prompt. Only the last line is compared with it, so that no output is read again."""
        prompt = re.compile(self._platform.prompt)
        more = re.compile(self._platform.more) if self._platform.more else None
        pieces: list[str] = []
        size, last = 0, ""
        async with asyncio.timeout(self._seconds):
            while True:
                piece = await self._shell.stdout.read(65_536)
                if not piece:
                    raise SessionError("unreadable", reasons.HUNG_UP())
                size += len(piece)
                if size > limit:
                    raise SessionError("unreadable", reasons.ANSWER_TOO_LONG(limit=limit))
                pieces.append(piece)
                last = (last + piece).rpartition("\n")[2][-_LAST_CHARACTERS:]
                shown = _plain(last)[-_PROMPT_CHARACTERS:]
                if prompt.search(shown):
                    break
                if more is not None and more.search(shown):
                    self._shell.stdin.write(self._platform.more_answer)
                    pieces.append("\n")
                    last = ""
        whole = _plain("".join(pieces))
        if more is not None:
            whole = "\n".join(
                line for line in whole.split("\n") if not more.search(line[:_PROMPT_CHARACTERS])
            )
        return whole.rpartition("\n")[0]


async def shown_key(device: Device, kind: tuple[str, ...] = ()) -> asyncssh.SSHKey:
    """The key that the device shows, of this kind where one is given; nobody signs in. Raises :class:`SessionError`."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            algorithms = _algorithms(device, kind)
            ciphers = {
                name: algorithms.pop(name) for name in ("encryption_algs", "mac_algs") if name in algorithms
            }
            options = asyncssh.SSHClientConnectionOptions(config=None, **ciphers)
            key = await asyncssh.get_server_host_key(
                device.host, device.port, config=None, options=options, **algorithms
            )
    except TimeoutError as error:
        raise SessionError("unreachable", reasons.TIMED_OUT()) from error
    except OSError as error:
        raise SessionError("unreachable", error.strerror or _words(error)) from error
    except (asyncssh.Error, ValueError) as error:
        raise SessionError("refused", reasons.NO_SSH(detail=_words(error))) from error
    if key is None:
        raise SessionError("refused", reasons.NO_SSH(detail="-"))
    return key


async def pinned_key(device: Device) -> tuple[asyncssh.SSHKey, tuple[str, ...]] | None:
    """The pinned key and its kind, where the device has that key beside the one that it shows unasked; nobody signs in.
    Where it answers no more, it has not shown it: who took its place could keep silent, too."""
    for kind in _KINDS:
        try:
            key = await shown_key(device, kind)
        except SessionError:  # it has none of this kind, and perhaps hangs up
            continue
        if is_pinned(key, device.host_key):
            return key, kind
    return None


def is_pinned(key: asyncssh.SSHKey, pin: str) -> bool:
    """Whether ``pin`` (:attr:`Device.host_key`) is of this key, whatever it signs with: what is compared is the key."""
    if pin.startswith("SHA256:"):
        return key.get_fingerprint() == pin
    return key.export_public_key("openssh").split()[1:2] == pin.encode().split()[1:2]


def _algorithms(device: Device, kind: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if device.old_algorithms:
        found = {name: "+" + ",".join(algorithms) for name, algorithms in _OLD.items()}
    if kind:
        old = (_OLD_RSA,) if device.old_algorithms and kind[0].startswith("rsa") else ()
        found["server_host_key_algs"] = [*kind, *old]
    return found


def _key(path: str) -> asyncssh.SSHKey:
    """Raise :class:`SessionError` where the file has no key that can be used without a word from a person."""
    try:
        return asyncssh.import_private_key(read_own(path, _LONGEST_KEY))
    except (OSError, ValueError) as error:
        raise SessionError("unreadable", reasons.NO_SECRET(detail=path)) from error


def _plain(text: str) -> str:
    """Without what is for terminals: of a line that was written over (a carriage return) the last writing."""
    lines = _ENDS.sub("\n", _ESCAPES.sub("", text)).split("\n")
    return "\n".join(line.rpartition("\r")[2].replace("\b", "") for line in lines)


def _words(error: Exception) -> str:
    text = "".join(each for each in str(error) if each.isprintable())
    return text[:160] or type(error).__name__
