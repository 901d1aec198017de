"""Differential privacy at user level: noise on each device, and what it is worth.

gaussian     noise: the discrete Gaussian over the integers
accounting   epsilon after the attempts in which a client's vector left
calibration  noise from a wanted epsilon, how often, when to stop
budget       the record that a release carries
losses       what was counted, as it lies on a disk
"""
