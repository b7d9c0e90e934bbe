"""Reports of what was spent, and the forecast of what will be."""
