from toy_release import toy_release

from proper_client.releases.texts import FILE, public_people
from proper_shared.release import PARTS, read_manifest
from proper_shared.tasks import get_task
from proper_simulations.starter import keep_as_starter, keep_public_texts


def test_the_starter_is_the_release_without_its_merged_model(tmp_path):
    release = toy_release(tmp_path / "release")
    keep_as_starter(release, tmp_path / "starter")
    assert read_manifest(tmp_path / "starter") == read_manifest(release)
    names = {path.name for path in (tmp_path / "starter").rglob("*")}
    assert names == {"release.json", *(f"{part}.safetensors" for part in PARTS)}


def test_a_merged_model_stays_behind(tmp_path):
    release = toy_release(tmp_path / "release", merged=True)
    assert (release / "merged" / "config.json").is_file()
    keep_as_starter(release, tmp_path / "starter")
    assert not (tmp_path / "starter" / "merged").exists()


def test_the_public_texts_are_those_that_the_command_writes(tmp_path):
    keep_public_texts(tmp_path / "texts.json")
    assert (tmp_path / "texts.json").read_bytes() == FILE.read_bytes()
    for task in ("tagging", "rating", "rewriting"):
        people = public_people(task)
        assert all(get_task(task).accepts(e.output) for p in people for e in p.profile)
    assert public_people("LaMP_5") == []
