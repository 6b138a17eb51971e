"""``outofsight info``, and the front door itself."""


def test_sizes_memory_and_arithmetic(outofsight, model_folder):
    code, out, error = outofsight(
        "info", model_folder, "--size", "96x160", "--frames", "9+13", "--steps", "4"
    )
    assert code == 0, error
    assert "420 (7 frames of 6×10)" in out
    assert "8 forwards" in out
    assert "memory, denoise" in out


def test_a_size_the_model_cannot_take(outofsight, model_folder):
    code, _, error = outofsight("info", model_folder, "--size", "100x160")
    assert code == 2
    assert error.strip() == (
        "outofsight: this model needs a height divisible by 16 and a width divisible by 16, got 100×160"
    )


def test_help_names_the_verbs(outofsight):
    code, out, _ = outofsight("--help")
    assert code == 0
    for verb in ("generate", "convert", "info"):
        assert verb in out
