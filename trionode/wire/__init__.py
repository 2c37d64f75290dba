"""Bytes to values and back: length-prefixed messages, frames and their codecs, the HTTP/2 session.

Pure: nothing here reads a socket, a clock or a random number, or knows of routing.
"""
