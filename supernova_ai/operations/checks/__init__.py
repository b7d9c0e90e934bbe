"""The checks of ``supernova doctor``: each yields findings about one part of the installation."""
