"""One client's vector as elements of a ring, and the sum of a cohort's back.

clip       blocks of the vector are bounded in L2 norm and put on one scale
rotation   permutation, signs and Hadamard: every number becomes like the others
rounding   unbiased to integers, whose norm stays bounded
encoding   all of it, one way and back; read it first
bounds     next round's bounds from the mean of norms, so that nobody shows their own
fixed      bounds under noise, which hang on nothing that was seen
"""
