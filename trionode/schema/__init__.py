"""Types and their definitions: names, JSON Schemas, fingerprints, compatibility, validation.

Pure: no I/O, no clock; a `TypeRegistry` is the one thing here that changes.
"""
