"""The command ``supernova`` as ``python -m supernova_ai``."""

from supernova_ai.cli import main

main()
