"""The watcher: it notices when the files of a configuration have another content."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from supernova_ai.config import Loaded
from supernova_ai.errors import ConfigError
from supernova_ai.log import get_logger

log = get_logger(__name__)

_DEBOUNCE_MS = 300
_STEP_MS = 100
_LOOK_AGAIN_MS = 5_000
"""The files are read again this often, because some edits cause no event: behind a link, over a network."""


class Watcher:
    """Watches the files of a configuration on a daemon thread.

    It watches their folders, because editors replace a file by another, and compares the content.

    Args:
        loaded: returns the configuration in force, which names the files.
        seen: the ``fingerprint`` of that configuration.
        edited: called when the content is another. It must not raise.
    """

    def __init__(self, loaded: Callable[[], Loaded], seen: str, edited: Callable[[], object]) -> None:
        self._loaded = loaded
        self._seen = seen
        self._edited = edited
        self._stop = threading.Event()
        # Most clients do not watch. Not on the thread: a fork during the import would leave it locked.
        import watchfiles

        self._watch = watchfiles.watch
        self._thread = threading.Thread(target=self._run, name="supernova-watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a reload that is under way finishes first."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            folders = _folders(self._loaded())
            self._compare()  # what was edited while nobody watched
            try:
                for _ in self._watch(
                    *folders,
                    watch_filter=lambda _, path: self._is_due() or _may_matter(Path(path), self._loaded()),
                    debounce=_DEBOUNCE_MS,
                    step=_STEP_MS,
                    stop_event=self._stop,
                    rust_timeout=_LOOK_AGAIN_MS,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    recursive=False,
                ):
                    self._compare()
                    if self._stop.is_set() or _folders(self._loaded()) != folders:
                        break
            except (OSError, RuntimeError) as error:  # a folder vanished, or the system watches no more
                log.warning("config.watch.failed", reason=str(error), then="the files are read every 5 s")
                self._stop.wait(_LOOK_AGAIN_MS / 1000)
                self._compare()

    def _is_due(self) -> bool:
        """Say whether to look again whatever the event is: in a busy folder there is never a timeout."""
        return time.monotonic() - self._compared_s > _LOOK_AGAIN_MS / 1000

    def _compare(self) -> None:
        self._compared_s = time.monotonic()
        now = fingerprint(self._loaded())
        if now != self._seen:
            self._seen = now
            self._edited()


def require_settings(before: Loaded, after: Loaded) -> None:
    """Check that the base file still says something.

    A save that failed, on a full disk for example, leaves an empty file or none. The defaults would then be
    in force, and their budgets may grant more.

    Raises:
        ConfigError: the file had content, and is empty or gone.
    """
    base = before.base
    if base and before.texts[base].strip() and not after.texts.get(base, b"").strip():
        fault = "empty" if base in after.texts else "gone: create it empty"
        raise ConfigError(
            f"{base} is {fault}, and `supernova config rollback` writes it back. If you want the defaults, "
            f"write only a comment into it"
        )


def fingerprint(loaded: Loaded, known: Mapping[Path, bytes] | None = None) -> str:
    """Return a hash of all files that make the configuration: YAML, templates and ``.env``.

    Args:
        known: the content of some files, if it was read before.
    """
    digest = hashlib.sha256()
    for path in _files(loaded):
        content = (known or {}).get(path)
        if content is None:
            try:
                content = path.read_bytes()
            except OSError:  # there is none, or it cannot be read
                continue
        digest.update(f"{path} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _base(loaded: Loaded) -> Path:
    """Return the base file, or where one may be made."""
    return loaded.base or Path("config", "supernova.yaml")


def _files(loaded: Loaded) -> Iterator[Path]:
    base = _base(loaded)
    yield from (base, Path(".env"))
    yield from sorted(base.parent.glob("environments/*.yaml"))
    yield from sorted(base.parent.glob("prompts/*.md"))


def _folders(loaded: Loaded) -> list[Path]:
    """Return the folders to watch: those of the files, and those that links lead to."""
    folder = _base(loaded).parent
    named = [folder, folder / "environments", folder / "prompts", Path()]
    linked = [path.resolve().parent for path in _files(loaded)]
    return sorted({folder.absolute() for folder in (*named, *linked) if folder.is_dir()})


def _may_matter(path: Path, loaded: Loaded) -> bool:
    """Say whether an event of this path is worth reading the files; Kubernetes swaps the link ``..data``."""
    base = _base(loaded)
    names = (base.name, base.parent.name, "environments", "prompts", ".env", "..data")
    return path.suffix in (".yaml", ".md") or path.name in names
