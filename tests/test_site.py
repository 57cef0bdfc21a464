"""The site's sources: references, commands, tutorials and links, without building it.

`.ci/run` builds the whole; these tests are quick and need no network.
"""

import ast
import importlib
import importlib.util
import inspect
import re
import sys

from flow_data import COMMANDS, ROOT, flow_class, run_python
import pytest

DOC = ROOT / "doc"
TUTORIALS = sorted((DOC / "examples").glob("tutorial_*.py"))
PAGES = sorted(
    path
    for pattern in ("*.md", "*.rst", "results/*.rst")
    for path in DOC.glob(pattern)
    if path.name != "sg_execution_times.rst"
)
MARKDOWN = [
    *(path for path in PAGES if path.suffix == ".md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
SOURCES = [
    *PAGES,
    *TUTORIALS,
    *sorted((ROOT / "dipy_tractoencoder").rglob("*.py")),
]

every_tutorial = pytest.mark.parametrize(
    "path", TUTORIALS, ids=[path.stem for path in TUTORIALS]
)


def extension(name):
    """Import one of the site's own extensions."""
    folder = str(DOC / "ext")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def generated(target):
    """Tell whether a page is made by the build, or by the gallery."""
    return target.startswith(("generated/", "auto_examples/"))


# Configuration


def test_configuration_is_read_and_its_extensions_exist():
    pytest.importorskip("sphinx", reason="needs the extra doc")
    check = (
        "import importlib, runpy, sys\n"
        "names = runpy.run_path(sys.argv[1])\n"
        "assert names['release'] and names['html_theme']\n"
        "for name in names['extensions']:\n"
        "    importlib.import_module(name)\n"
        "print('read', len(names['extensions']))\n"
    )
    result = run_python("-c", check, DOC / "conf.py", cwd=ROOT)
    assert result.code == 0, result.err
    assert int(result.out.split()[-1]) >= 8


def test_build_needs_no_network():
    """Nothing that readers or builders would have to fetch."""
    text = (DOC / "conf.py").read_text(encoding="utf-8")
    assert "intersphinx" not in text
    assert "mathjax" not in text.lower()
    for path in (DOC / "_static").iterdir():
        assert "http" not in path.read_text(encoding="utf-8"), path


def test_equations_become_mathml():
    pytest.importorskip("sphinx", reason="needs the extra doc")
    from docutils.utils.math import MathError, latex2mathml

    text = (DOC / "model.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. math:: (.+?)\n(?=\S|\n(?! ))", text, flags=re.M | re.S)
    inline = re.findall(r":math:`([^`]+)`", text)
    assert len(blocks) >= 10
    assert len(inline) >= 30
    for tex in [
        *(re.sub(r"^ +:label:.*$", "", b, flags=re.M) for b in blocks),
        *inline,
    ]:
        try:
            assert "<math" in latex2mathml.tex2mathml(tex)
        except MathError as err:
            pytest.fail(f"{tex}: {err}")


# Sources cited


def entries():
    """Keys of the bibliography."""
    return re.findall(
        r"^@\w+\{([^,]+),",
        (DOC / "references.bib").read_text(encoding="utf-8"),
        flags=re.M,
    )


def test_bibliography_is_sorted_out():
    keys = entries()
    assert len(set(keys)) == len(keys) > 15
    assert all(re.fullmatch(r"[A-Za-z]+\d{4}[a-z]?", key) for key in keys)
    text = (DOC / "references.bib").read_text(encoding="utf-8")
    for entry in text.split("\n@")[1:]:
        for field in ("author", "title", "year"):
            assert re.search(rf"^  {field} +=", entry, flags=re.M), entry[:60]
    pybtex = pytest.importorskip("pybtex.database", reason="needs the extra doc")
    assert set(pybtex.parse_string(text, "bibtex").entries) == set(keys)


def test_every_citation_is_in_the_bibliography():
    cited = {
        key.strip()
        for path in SOURCES
        for group in re.findall(
            r":(?:foot)?cite:\w+:`([^`]+)`", path.read_text(encoding="utf-8")
        )
        for key in group.split(",")
    }
    assert len(cited) > 15
    assert cited <= set(entries())


# Commands


def test_every_command_has_a_page():
    reference = extension("command_reference")
    assert set(reference.find_commands()) == set(COMMANDS)
    pages = reference.reference_pages()
    assert set(pages) == {*COMMANDS, "index"}
    for name in COMMANDS:
        assert f":ref:`{name} <{name}>`" in pages["index"]
        page = pages[name]
        doc = inspect.getdoc(flow_class(name).run)
        (example,) = re.findall(r"^Example: (.+)$", doc, flags=re.M)
        assert f"   {example}\n" in page
        for parameter, value in inspect.signature(
            flow_class(name).run
        ).parameters.items():
            if parameter == "self":
                continue
            has_default = value.default is not inspect.Parameter.empty
            head = f".. option:: {'--' * has_default}{parameter}"
            (found,) = re.findall(rf"^{re.escape(head)}(?: .*)?$", page, flags=re.M)
            section = page.split(f"{found}\n")[1].split(".. option::")[0]
            if value.default not in (inspect.Parameter.empty, None, False, ""):
                assert f"Default: ``{value.default}``" in section, parameter
        assert "--log_level" in page and "--force" in page
        assert f"usage: {name}" not in page and f"   {name} [-h]" in page


def test_options_of_parts_are_on_the_page_of_the_whole():
    page = extension("command_reference").reference_pages()["dipy_vae_demo"]
    assert ".. option:: --train.latent_dim <int>" in page
    assert ".. option:: --encode.save_tractogram\n" in page


def test_text_of_docstrings_becomes_markup():
    plain = extension("command_reference").plain
    assert plain("a*b_ `c` |d|") == r"a\*b\_ \`c\` \|d\|"
    assert plain("with --mask, of\n  it") == "with ``--mask``, of it"
    assert plain("as dipy_train_vae does", "dipy_train_vae") == (
        "as ``dipy_train_vae`` does"
    )
    assert plain("of dipy_train_vae.") == "of :ref:`dipy_train_vae <dipy_train_vae>`."
    assert plain('"dipy_tractoencoder[x]"') == r'"dipy\_tractoencoder[x]"'


def package_modules():
    """Modules of the package, as ``nn.vae``."""
    folder = ROOT / "dipy_tractoencoder"
    paths = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return {
        ".".join(path.with_suffix("").parts)
        for path in paths
        if path.stem != "__init__"
    }


def test_api_reference_has_every_module_in_the_order_of_packages():
    api = extension("api_reference")
    page = api.api_page()
    listed = re.findall(r"^   ([a-z_]+(?:\.\w+)?)$", page, flags=re.M)
    flows = {name for name in package_modules() if name.startswith("workflows.")}
    assert sorted(listed) == sorted(package_modules() - flows)
    order = api.package_order()
    rows = [order.index(name.partition(".")[0]) for name in listed]
    assert rows == sorted(rows)


def test_api_reference_has_every_public_name():
    import dipy_tractoencoder

    page = extension("api_reference").api_page()
    listed = re.findall(r"^   ~dipy_tractoencoder\.([\w.]+)$", page, flags=re.M)
    names = [name.rpartition(".")[2] for name in listed]
    names += re.findall(r"^- ``([A-Z_]+)``: ", page, flags=re.M)
    assert sorted(names) == sorted({*dipy_tractoencoder.__all__} - {"__version__"})
    for name in listed:
        module, _, attribute = name.rpartition(".")
        module = importlib.import_module(f"dipy_tractoencoder.{module}")
        assert hasattr(module, attribute), name


def test_architecture_has_every_package():
    packages = {name.partition(".")[0] for name in package_modules()}
    page = (DOC / "architecture.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.M)) == packages
    picture = (DOC / "figures" / "packages.svg").read_text(encoding="utf-8")
    assert packages <= set(re.findall(r">(\w+)</text>", picture))


def test_names_in_docstrings_and_pages_exist():
    """A `package.module.name` exists, and no `module.name` stands without package."""
    modules = package_modules()
    packages = {name.partition(".")[0] for name in modules}
    stems = {name.rpartition(".")[2] for name in modules} - {"preprocessing"}
    checked = 0
    for path in SOURCES:
        names = re.findall(
            r"(?<![`:\w])`([a-z_]+\.[A-Za-z_.]+)`", path.read_text(encoding="utf-8")
        )
        for name in names:
            first = name.partition(".")[0]
            if name.endswith(".html"):  # A report's.
                continue
            if first in packages and name not in modules:
                module, _, attribute = name.rpartition(".")
                assert module in modules, f"{path.name}: {name}"
                module = importlib.import_module(f"dipy_tractoencoder.{module}")
                assert hasattr(module, attribute), f"{path.name}: {name}"
                checked += 1
            elif first not in packages:
                assert first not in stems, f"{path.name}: {name}"
    assert checked > 40


def test_names_in_docstrings_become_links():
    link = extension("api_reference").link_names
    packages, homes = (
        ("viz", "nn"),
        {"encode": "dipy_tractoencoder.latent.codec.encode"},
    )
    full = ":py:obj:`viz.base.save <dipy_tractoencoder.viz.base.save>`"
    assert link("See `viz.base.save`.", packages, homes) == f"See {full}."
    assert link("`encode`s", packages, homes) == (
        ":py:obj:`encode <dipy_tractoencoder.latent.codec.encode>`s"
    )
    for same in ("``encode``", ":py:mod:`nn.vae`", "`rows`", "`keras.ops`"):
        assert link(same, packages, homes) == same


# Tutorials


def test_there_are_nine_tutorials():
    assert [path.stem.split("_")[1] for path in TUTORIALS] == list("123456789")


@every_tutorial
def test_tutorial_is_a_script_that_names_what_exists(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    compile(text, str(path), "exec")
    title = ast.get_docstring(tree).strip().splitlines()
    assert title[0] == title[2] == "=" * len(title[1])
    assert "plt.show()" in text
    assert "/tmp" not in text and "/home" not in text
    checked = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module}.{alias.name}"
                checked += 1
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "dte"
        ):
            import dipy_tractoencoder

            assert hasattr(dipy_tractoencoder, node.attr), node.attr
            checked += 1
    assert checked > 5


@every_tutorial
def test_keywords_of_calls_to_the_library_exist(path):
    import dipy_tractoencoder

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if not re.fullmatch(r"dte\.\w+", called):
            continue
        function = getattr(dipy_tractoencoder, node.func.attr)
        known = set(inspect.signature(function).parameters)
        given = {keyword.arg for keyword in node.keywords} - {None}
        assert given <= known, f"{ast.unparse(node)[:60]}: {given - known}"


def command_lines(path):
    """Command lines that a page or tutorial shows."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\\\n[# ]*", "", text)
    return re.findall(r"^[#\s]*(dipy_[a-z_]+ [^\n`]+)$", text, flags=re.M)


@pytest.mark.parametrize(
    "path",
    [*PAGES, *TUTORIALS],
    ids=[str(path.relative_to(DOC)) for path in [*PAGES, *TUTORIALS]],
)
def test_options_shown_are_those_of_the_commands(path):
    parser = extension("command_reference").complete_parser
    for line in command_lines(path):
        name = line.split()[0]
        if name not in COMMANDS:
            continue
        known = {
            option
            for action in parser(name, flow_class(name))._actions
            for option in action.option_strings
        }
        # What follows a pipe or a comment is another's.
        shown = set(re.findall(r"(?<=\s)--[\w.]+", re.split(r"[|#]", line)[0]))
        assert shown <= known, line


# Spelling

AMERICAN = re.compile(
    r"\b(?:(?:color|neighbor|behavior|favor|harbor)(?:s|ed|ing|ful)?|center(?:s|ed)?"
    r"|fibers?|gray|licenses|label(?:ed|ing)|model(?:ed|ing)|cancel(?:ed|ing)"
    r"|analyz(?:e[sd]?|ing)|fulfill|artifacts?|catalogs?"
    r"|(?!(?:over|re|down)?s[i]z|priz|seiz|horizon)[a-z]{3,}iz(?:e[sdr]?|ing|ations?))\b"
)


def prose(path):
    """Text of a page, or the docstrings and cells of a module, without code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        docs = [
            ast.get_docstring(node) or ""
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        ]
        cells = re.findall(r"^# (.*)$", text, flags=re.M) if path in TUTORIALS else []
        text = "\n".join([*docs, *cells])
        text = re.sub(r"^[ \w*,]+ : .*$", "", text, flags=re.M)  # Parameters.
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    text = re.sub(r"(``?).+?\1", "", text, flags=re.S)
    return re.sub(r"\]\([^)]*\)|https?://\S+", "", text)


def test_spelling_is_told_apart():
    for word in (
        "color",
        "centered",
        "fibers",
        "normalized",
        "labeled",
        "organization",
    ):
        assert AMERICAN.search(f"a {word} b"), word
    for word in ("colour", "size", "resizing", "seize", "labelled", "n_neighbors"):
        assert not AMERICAN.search(f"a {word} b"), word


def test_spelling_is_british():
    wrong = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted({*SOURCES, *MARKDOWN})
        for word in AMERICAN.findall(prose(path).lower())
    ]
    assert not wrong


# Links


@pytest.mark.parametrize("path", MARKDOWN, ids=[path.name for path in MARKDOWN])
def test_markdown_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file) if file else path
        assert place.exists(), f"{path.name}: {target}"
        if anchor:
            titles = re.findall(
                r"^#+ (.+)$", place.read_text(encoding="utf-8"), flags=re.M
            )
            slugs = {
                re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles
            }
            assert anchor in slugs, f"{path.name}: {target}"


def test_pages_and_pictures_that_are_named_exist():
    found = 0
    for path in [*PAGES, *TUTORIALS]:
        text = path.read_text(encoding="utf-8")
        targets = re.findall(r":doc:`(?:[^<`]*<)?([^>`]+)>?`", text)
        toctrees = re.findall(r"toctree::\n((?:   .*\n|\n)+)", text)
        toctrees += re.findall(r"\{toctree\}\n(.*?)```", text, flags=re.S)
        for block in toctrees:
            lines = (line.strip() for line in block.splitlines())
            targets += [line for line in lines if line and line[0] != ":"]
        base = DOC if path in TUTORIALS else path.parent
        for target in targets:
            absolute = target.startswith("/")
            place = (DOC / target[1:]) if absolute else (base / target)
            relative = target.lstrip("/")
            exists = any(
                place.with_name(place.name + s).is_file() for s in (".md", ".rst")
            )
            assert exists or generated(relative), f"{path.name}: {target}"
            found += 1
        for picture in re.findall(r"^\.\. (?:figure|image):: (\S+)$", text, flags=re.M):
            assert (path.parent / picture).is_file(), f"{path.name}: {picture}"
            found += 1
        for file in re.findall(r":download:`[^<`]*<([^>`]+)>`", text):
            assert (path.parent / file).is_file(), f"{path.name}: {file}"
            found += 1
    assert found > 40


def test_every_table_has_a_title():
    """Scripts write tables without one, and the toctree needs it."""
    sys.path.insert(0, str(DOC / "ext"))
    try:
        titles = importlib.import_module("study_pages").TITLES
    finally:
        sys.path.remove(str(DOC / "ext"))
    for path in sorted((DOC / "results").glob("*.rst")):
        name = path.relative_to(DOC).with_suffix("").as_posix()
        own = re.search(r"\A\S.*\n[=~-]{3,}\n", path.read_text(encoding="utf-8"))
        assert name in titles or own, name


def test_every_page_is_in_a_toctree():
    listed = set()
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"toctree::\n((?:   .*\n|\n)+)", text)
        blocks += re.findall(r"\{toctree\}\n(.*?)```", text, flags=re.S)
        for line in "\n".join(blocks).splitlines():
            if line.strip() and not line.strip().startswith(":"):
                place = path.parent / line.strip()
                listed.add(place.relative_to(DOC).as_posix())
    pages = {path.relative_to(DOC).with_suffix("").as_posix() for path in PAGES}
    assert pages - listed == {"index"}


# What Sphinx makes


@pytest.mark.skipif(
    not (DOC / "_build" / "html" / "index.html").is_file(), reason="site is not built"
)
def test_links_of_a_built_site_lead_somewhere():
    folder = DOC / "_build" / "html"
    from urllib.parse import unquote

    wrong, checked = [], 0
    pages = [p for p in folder.rglob("*.html") if p.parent.name != "_static"]
    for page in pages:  # The theme's own templates lie in _static.
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.S)
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:", target) or target.startswith(("#", "//")):
                continue
            file = unquote(target.split("#")[0].split("?")[0])
            checked += 1
            if not (page.parent / file).exists():
                wrong.append(f"{page.relative_to(folder)}: {target}")
        for script in re.findall(
            r'<(?:script|link|img)[^>]+(?:href|src)="([^"]+)"', text
        ):
            assert not script.startswith(("http", "//")), f"{page.name}: {script}"
    assert not wrong, wrong[:10]
    assert checked > 500
