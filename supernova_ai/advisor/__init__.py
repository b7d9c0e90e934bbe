"""Advice: bars, indicators and signals, explained in words whose every figure is checked."""
