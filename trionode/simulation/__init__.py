"""The proof: many of the very brains that nodes run, on a simulated network, clock and disk.

Everything follows from one seed. Nothing here may read a clock, draw a random number or iterate
over a set: the same seed must give the same trace, byte for byte, on any machine.
"""
