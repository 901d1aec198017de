from proper_simulations.report import curve, render


def test_only_a_curve_that_doubles_is_said_to(results):
    assert "doubled" in curve.figure(results).caption
    changed = {"entries": [0, 1, 3, *results.learning_curve.entries[3:]]}
    other = results.learning_curve.model_copy(update=changed)
    run = results.model_copy(update={"learning_curve": other})
    assert "doubled" not in curve.figure(run).caption


def test_one_length_of_history_is_no_curve(make_results):
    results = make_results()
    results.learning_curve.entries[:] = results.learning_curve.entries[-1:]
    assert "did not vary" in curve.figure(results).reason


def test_the_curve_says_where_oppu_leads(make_results):
    results = make_results()
    pairs = results.learning_curve.paired["stage3-oppu"]["accuracy"]
    turned = results.learning_curve.model_copy(
        update={
            "paired": {
                "stage3-oppu": {
                    "accuracy": [
                        p.model_copy(
                            update={
                                "low": -p.high,
                                "high": -p.low,
                                "difference": -p.difference,
                            }
                        )
                        for p in pairs
                    ]
                }
            }
        }
    )
    lost = results.model_copy(update={"learning_curve": turned})
    assert curve.figure(results).heading.startswith("Stage 3 leads a user LoRA alone")
    assert curve.figure(lost).heading.startswith("Stage 3 trails a user LoRA alone")


def test_a_curve_of_nothing_is_left_out(results):
    empty = results.learning_curve.model_copy(
        update={"methods": {"stage2": {"accuracy": [None] * 8}}, "paired": {}}
    )
    html = render(results.model_copy(update={"learning_curve": empty}))
    assert "Learning curve: this run did not vary the history." in html
