"""What a program writes into the READMEs: the tree and the results, `make readme`."""

import ast
from pathlib import Path

from proper_simulations.tables import tables, together

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "shared/proper_shared",
    "client/proper_client",
    "coordinator/proper_coordinator",
    "simulations/proper_simulations",
)
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", RESULTS / "README.md")


def first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def lines_of(folder: Path, name: str, indent: int) -> list[str]:
    """A line for the folder itself, then its modules, then its subfolders."""
    own = folder / "__init__.py"
    lines = [_line(f"{name}/", first_line(own), indent)]
    modules = sorted(
        p for p in folder.glob("*.py") if p != own and "_pb2" not in p.name
    )
    lines += [_line(p.name, first_line(p), indent + 2) for p in modules]
    for inner in sorted(p.parent for p in folder.glob("*/__init__.py")):
        lines += lines_of(inner, inner.name, indent + 2)
    return lines


def _line(name: str, text: str, indent: int) -> str:
    return f"{' ' * indent}{name}  ".ljust(26) + text


def tree() -> str:
    parts = ["\n".join(lines_of(ROOT / path, path, 0)) for path in PACKAGES]
    return "```\n" + "\n\n".join(parts) + "\n```\n"


def written(page: Path) -> str:
    """The page with every part that a program writes as it should be."""
    text = page.read_text(encoding="utf-8")
    for name, make in {
        "tree": tree,
        "results": lambda: together(RESULTS),
        "runs": lambda: tables(RESULTS),
    }.items():
        begin, end = (
            f"<!-- {name}: `make readme` writes it -->\n",
            f"<!-- end of {name} -->\n",
        )
        before, found, rest = text.partition(begin)
        if found:
            text = before + begin + make() + end + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page), encoding="utf-8")
