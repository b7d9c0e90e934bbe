"""What a model costs: from YAML, or from the price map that LiteLLM bundles. Nothing here imports LiteLLM."""
