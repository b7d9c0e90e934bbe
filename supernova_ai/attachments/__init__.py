"""Attachments: images and documents that go along with a message."""

from supernova_ai.attachments.files import Given, load

__all__ = ["Given", "load"]
