"""Advice: bars, indicators and signals, and a rationale whose every figure is checked."""
