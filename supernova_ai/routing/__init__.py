"""Where a request may go: deployments, tiers, rankings, circuit breakers, rate limits and latencies."""
