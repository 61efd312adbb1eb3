"""The version of the package, part of reports and manifests."""

__version__ = "0.1.0"
