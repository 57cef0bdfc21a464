"""What the README shows works."""

import re
import shutil

from dipy.data.fetcher import extract_example_tracts
from flow_data import COMMANDS, ROOT, run_python
from slow import slow

README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@slow
def test_python_block_runs(tmp_path):
    (block,) = code_blocks("python")
    extract_example_tracts(tmp_path)
    shutil.copy(tmp_path / "sub_1" / "AF_L.trk", tmp_path / "AF_L.trk")
    result = run_python("-c", block, cwd=tmp_path)
    assert result.code == 0, result.err
    assert "(50, 6) mm; left out: {}" in result.out
    assert "'error_mm'" in result.out
    for name in ("vae.keras", "latents.h5", "decoded.trx"):
        assert (tmp_path / name).is_file()


def test_every_command_is_shown_and_exists():
    shown = set(re.findall(r"\bdipy_\w+(?:_vae|_demo|_fibercup)\b", README))
    assert shown == set(COMMANDS)


def test_set_up_commands_are_what_ci_runs():
    (tests,) = (block for block in code_blocks("bash") if "pytest" in block)
    assert re.search(r"&& pytest -n 2 --dist loadfile$", tests.strip())
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
