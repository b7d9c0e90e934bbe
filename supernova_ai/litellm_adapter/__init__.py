"""The only room that imports LiteLLM. Importing it takes seconds: do so on first use."""

from supernova_ai.config.network import check_key_log

check_key_log()  # before aiohttp, which makes its TLS contexts when it is imported

from supernova_ai.litellm_adapter import setup as setup  # noqa: E402 - before any module here imports LiteLLM
