"""Set up logging as the section ``logs`` says."""

from __future__ import annotations

from supernova_ai.config.schema import Config
from supernova_ai.log import setup


def configure_logging(config: Config, *, terminal: bool = False) -> None:
    """Write the events of this process as the configuration's ``logs`` say; a second call replaces the first.

    Only programs call this, never a library: it adds a handler to the root logger.

    Args:
        terminal: a person waits for this command: warnings are shown as text, also if there is a file.

    Raises:
        ConfigError: the file cannot be written.
    """
    logs, production = config.logs, config.environment == "production"
    setup.configure(
        level=logs.level,
        as_json=production if logs.format is None else logs.format == "json",
        hash_users=production if logs.hash_users is None else logs.hash_users,
        file=logs.file,
        max_bytes=logs.max_mb * 2**20,
        keep_days=logs.keep_days,
        terminal=terminal,
    )
