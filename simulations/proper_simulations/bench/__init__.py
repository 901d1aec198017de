"""Measurements: `proper-sim bench COMMAND`.

measure        take turns, ratios with intervals, where and with what it was run
scene          random models and texts
looped         the same experts as a loop
layer_cost     experts with routers against one LoRA of the same size
decoding       a token of an answer against the plain backbone
one_by_one     personal adapters by stock PEFT, one user after the other
cohort_speed   personal adapters of a whole cohort at once against that
encoding_error the mean of encoded updates against that of plain ones
noised_stage   stage 1 with one factor alone, so that little has to be noised
privacy_curve  what differential privacy costs stage 1, by epsilon and number of users
in_one_place   stages 1 and 2 with all entries in one place
central        federated against that, and masked against unmasked
leakage        what a personal adapter tells about its history
leak_ground    the release under the canaries
leak_people    random halves of histories, and secrets planted in them
leak_models    personal models of PROPER and of OPPU, and the losses of entries
leak_attacks   from losses to suspicion: loss, reference, likelihood ratio
leak_curves    from suspicion to rates, with intervals over users
leak_blind     a classifier without the model
leak_membership membership inference, put together
leak_guess     the likelihood of all that a secret could be
leak_exposure  its rank, and whether ranks are uniform
leak_canaries  canaries, put together
round_cost     bytes of a round, and its time beside training
memory         what an estimate of memory says, against what a training took
four_bits      a population LoRA beside weights in 4 bits, or merged before
table          results as text
"""
