"""The engine over LiteLLM. Importing it imports LiteLLM, which takes seconds: do so on first use."""

from supernova_ai.config.network import check_tls

check_tls()  # before aiohttp, which makes its TLS contexts when it is imported

from supernova_ai.engine.engine import Engine  # noqa: E402

__all__ = ["Engine"]
