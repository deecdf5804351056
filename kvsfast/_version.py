"""The version, for the package and for the User-Agent header."""

__version__ = "0.1.0"
