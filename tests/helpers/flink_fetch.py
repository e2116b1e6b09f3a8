"""Fetch a Flink cluster and Beam's job server for it: `python tests/helpers/flink_fetch.py FOLDER`.

Flink itself is the sdist `apache-flink-libraries`. The job server is the jar that Beam publishes for its own version
and Flink 1.20; a Maven repository that lacks it may still have the libraries of an older release, of which
`flink_job_server.xml` makes the same jar. Which one it became is printed, and written into FOLDER/engine.json.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from apache_beam.version import __version__ as beam_version

from pipelines.beam.preflight import java_launcher
from pipelines.errors import AudioVaeError

POM = Path(__file__).with_name("flink_job_server.xml")
PUBLISHED = ("1.20", beam_version)
MADE = ("1.19", "2.62.0")
"""Flink and Beam of the job server that is made: the newest release whose libraries for Flink are all to be had."""
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_NEEDED = ("flink-dist-", "log4j-")


@dataclass(frozen=True)
class Engine:
    """flink_version: `1.20`. beam_version: of the job server. classpath: of the cluster. job_server: the jar."""

    flink_version: str
    beam_version: str
    classpath: str
    job_server: str
    java: str

    @classmethod
    def load(cls, folder: Path) -> Engine:
        """What was fetched into a folder."""
        return cls(**json.loads((folder / "engine.json").read_text()))


def main(folder: Path) -> None:
    """Fetch what is missing."""
    if (folder / "engine.json").is_file():
        return
    java = java_launcher("Flink")
    if not shutil.which("mvn"):
        sys.exit("mvn (Maven) must be on PATH: it fetches Beam's job server")
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    (flink, beam), job_server = PUBLISHED, published_job_server(folder)
    if job_server is None:
        (flink, beam), job_server = MADE, made_job_server(folder)
    classpath = ":".join(map(str, flink_jars(folder, flink)))
    engine = Engine(flink, beam, classpath, str(job_server), java)
    (folder / "engine.json").write_text(json.dumps(asdict(engine)))
    shutil.rmtree(folder / "maven")
    print(f"Flink {flink} with the job server of Beam {beam}")


def job_server_name(flink: str, beam: str) -> str:
    return f"beam-runners-flink-{flink}-job-server-{beam}.jar"


def published_job_server(folder: Path) -> Path | None:
    """The jar that Beam publishes; None when the repository does not have it."""
    flink, beam = PUBLISHED
    artifact = f"-Dartifact=org.apache.beam:beam-runners-flink-{flink}-job-server:{beam}"
    done = maven(folder, f"{_PLUGIN}:copy", artifact, f"-DoutputDirectory={folder}")
    if done.returncode and "Could not find artifact" not in done.stdout:
        sys.exit(f"Maven failed:\n{done.stdout}")
    return None if done.returncode else folder / job_server_name(flink, beam)


def made_job_server(folder: Path) -> Path:
    """The same jar, made of a release's libraries."""
    flink, beam = MADE
    with tempfile.TemporaryDirectory() as work:
        shutil.copy(POM, Path(work) / "pom.xml")
        versions = [f"-Dflink.version={flink}", f"-Dbeam.version={beam}"]
        done = maven(folder, "package", "-f", f"{work}/pom.xml", *versions)
        if done.returncode:
            sys.exit(f"Maven failed:\n{done.stdout[-3000:]}")
        target = folder / job_server_name(flink, beam)
        shutil.move(Path(work) / "target" / "job-server.jar", target)
    return target


def maven(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Maven with a repository of its own."""
    command = ["mvn", "--quiet", "--batch-mode", f"-Dmaven.repo.local={folder}/maven", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def flink_jars(folder: Path, version: str) -> list[Path]:
    """The jars of a standalone cluster, out of the sdist."""
    lib = folder / "lib"
    lib.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        package = "apache-flink-libraries"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", work]
        subprocess.run([*command, "--no-deps", "--no-binary", package, f"{package}=={version}.*"], check=True)
        (archive,) = Path(work).glob("apache*flink*libraries*.tar.gz")
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if "/deps/lib/" in member.name and name.startswith(_NEEDED):
                    content = tar.extractfile(member)
                    assert content is not None
                    with (lib / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
    return sorted(lib.glob("*.jar"))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except AudioVaeError as error:
        sys.exit(str(error))
