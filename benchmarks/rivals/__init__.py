"""Rivals that are compiled: thin programs over what others published, by the toolchains that one would use.

Their packages come from the registries by name and version, as ``go.mod``, ``Cargo.toml``, ``pom.xml`` and
Debian's package names say; what is built lies in ``benchmarks/.rivals``, which git ignores."""
