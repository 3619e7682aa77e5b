"""Installs packages with uv, which needs a tenth of pip's time, from wherever pip is set up to install them.

`python -m tools.packages '.[test]'` installs into the environment that runs it, and fetches uv first. Where there is no
uv for the platform, or uv fails, pip installs them. Needs the standard library alone.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import html
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

PYPI = "https://pypi.org/simple"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
UV = (sys.executable, "-m", "uv")

# pip's options and the variables of uv that mean the same, with what stands there between several values. Sources:
# https://pip.pypa.io/en/stable/cli/pip_install/, https://docs.astral.sh/uv/reference/environment/.
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


@functools.cache
def pip_settings() -> dict[str, str]:
    """Returns pip's options by name, from its configuration files and its environment variables."""
    listed = subprocess.run([*PIP, "config", "list"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # each overrides those before it
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(['\"].*)$", listed, re.MULTILINE):
            found[name] = str(ast.literal_eval(value)).strip()
    return found


def uv_variables() -> dict[str, str]:
    """Returns the environment, with pip's options as uv reads them; a variable of uv that is set stays."""
    variables = dict(os.environ)
    for name, value in pip_settings().items():
        variable, between = VARIABLES.get(name, ("", ""))
        values = [each for each in value.split() if name != "find-links" or "://" in each or Path(each).exists()]
        if variable and values:
            variables.setdefault(variable, between.join(values))
    if "UV_INDEX" in variables:  # as pip does: the newest release of all indexes, not of the first that has any
        variables.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return variables


class InstallationFailed(Exception):
    """uv could not install something. The message is its output."""


def uv(*arguments: str) -> None:
    """Runs uv.

    Raises:
        InstallationFailed: uv failed.
    """
    done = subprocess.run(
        [*UV, *arguments], check=False, env=uv_variables(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise InstallationFailed(f"uv {' '.join(arguments)} failed:\n{done.stdout}")


def create(folder: Path, packages: Sequence[str]) -> Path:
    """Makes an environment of the running Python.

    Args:
        folder: Where.
        packages: Requirements to install, and options of `uv pip install`.

    Returns:
        The environment's Python.

    Raises:
        InstallationFailed: uv failed.
    """
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    python = folder / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", str(python), *packages)
    return python


def kept(folder: Path, packages: Sequence[str]) -> Path:
    """Makes an environment in the user's cache, unless it is there already.

    Args:
        folder: Where. Its name must change with what is installed.
        packages: See `create`.

    Returns:
        The environment's Python.

    Raises:
        InstallationFailed: uv failed.
    """
    done = folder / ".installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        create(folder, packages)
        done.touch()
    return folder / "bin" / "python"


def _read(url: str) -> bytes:
    """Raises OSError with the address, which urllib's own lacks."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "text/html"}), timeout=120) as found:
            return bytes(found.read())
    except OSError as error:
        raise OSError(f"{url} could not be read: {error}") from error


def fetch_source(distribution: str, release: str, folder: Path) -> None:
    """Unpacks a release's source distribution, without running its build as `pip download` does.

    Args:
        distribution: Its name as the package index spells it.
        release: Its version.
        folder: Where it is to be; it must not be there yet.

    Raises:
        LookupError: The index has no source distribution of that release, or another file than it says.
        OSError: The index could not be read.
    """
    index = uv_variables().get("UV_DEFAULT_INDEX", PYPI).rstrip("/")
    project = f"{index}/{re.sub(r'[-_.]+', '-', distribution).lower()}/"
    page = _read(project).decode()
    name = re.sub(r"[-_.]+", "[-_.]+", distribution) + "-" + re.escape(release)
    links = re.findall(rf'href="([^"]*/{name}\.tar\.gz(?:#[^"]*)?)"', page, re.IGNORECASE)
    if not links:
        raise LookupError(f"{project} has no source distribution of release {release}")
    link = urllib.parse.urljoin(project, html.unescape(links[0]))
    content = _read(link.partition("#")[0])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        archive = Path(new, "source.tar.gz")
        archive.write_bytes(content)
        _, _, digest = link.partition("#sha256=")
        if digest and hashlib.sha256(content).hexdigest() != digest:
            raise LookupError(f"{link} is not the file that the index names: its SHA-256 differs")
        with tarfile.open(archive) as opened:
            opened.extractall(new, filter="data")
        (unpacked,) = (path for path in Path(new).iterdir() if path.is_dir())
        unpacked.rename(folder)


def main(packages: list[str]) -> int:
    """Installs packages, given as editable folders or requirements, into the environment that runs this."""
    editable = [part for package in packages for part in (["--editable", package] if package[0] == "." else [package])]
    try:
        subprocess.run([*PIP, "install", "--quiet", "--only-binary", "uv", "uv"], check=True)
        uv("pip", "install", "--quiet", "--python", sys.executable, *editable)
    except (subprocess.CalledProcessError, InstallationFailed) as error:
        print(f"{error}\npip installs {' '.join(packages)} instead", file=sys.stderr)
        subprocess.run([*PIP, "install", "--quiet", "--upgrade", "pip"], check=True)
        return subprocess.run([*PIP, "install", "--quiet", *editable], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
