"""Names of provider parameters that neither a call nor the configuration may set, and why."""

from __future__ import annotations

SET_HERE = frozenset(
    {"allowed_openai_params", "api_base", "api_key", "base_url", "cache", "client", "custom_llm_provider"}
    | {"drop_params", "fallbacks", "max_retries", "messages", "metadata", "mock_response", "model"}
    | {"model_info", "num_retries", "stream", "stream_options", "timeout"}
)
"""This package sets them for each call: they decide where a request goes, or how its answer comes back."""

FOR_ALL_CALLS = frozenset(
    {"api_version", "deployment_id", "extra_body", "extra_headers", "extra_query", "headers", "organization"}
)
"""They belong to all calls of a provider: the configuration may set them, and a call may not."""

LENGTHS = frozenset(
    {"maxOutputTokens", "max_completion_tokens", "max_length", "max_new_tokens", "max_output_tokens"}
    | {"max_tokens", "max_tokens_to_sample", "num_predict"}
)
"""Names that providers have for the longest answer, which the hold covers."""

UNBOUND = {
    "best_of": "it multiplies the answers, and the hold covers one",
    "n": "it multiplies the answers, and the hold covers one",
    "modalities": "audio and images in answers have prices that the hold does not cover",
    "audio": "audio in answers has a price that the hold does not cover",
    "container": "the provider's own tools have prices of their own, which no hold covers",
    "mcp_servers": "the provider's own tools have prices of their own, which no hold covers",
    "models": "another model has another price",
    "plugins": "searches have prices of their own, which no hold covers",
    "prediction": "tokens that were predicted wrongly are charged beyond max_tokens",
    "search_parameters": "searches have prices of their own, which no hold covers",
    "speed": "the fast mode multiplies the price, and the hold does not cover that",
    "web_search_options": "searches have prices of their own, which no hold covers",
}
"""Parameters that may cost more than the hold, and why."""
