"""`audit.py export`: a crate that validates, whose digests and edges are the study's, and its lineage in PROV-O."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import rdflib
from crates import faults
from projects import Study
from rdflib.namespace import PROV, RDF, RDFS

from cream.audit.ledger import SUFFIX, Ledger
from cream.contents import files_below
from cream.digests import file_digest
from cream.records import record_text, seal

PROFILE = "provenance-run-crate"
SUMMARY = "results/tables/summary.txt"  # nothing was made from it
AUTHOR = 'Ann "A" <script>alert(1)</script>'
SHA256 = rdflib.URIRef("https://w3id.org/ro/terms/workflow-run#sha256")
BASE = "https://study.example/"


@pytest.fixture(scope="module")
def out(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study exported: `crate`, `whole.zip` (with data), `prov.jsonld`."""
    folder = tmp_path_factory.mktemp("out")
    for arguments in ([folder / "crate"], [folder / "whole.zip", "--with-data", "--author", AUTHOR]):
        done = export(finished, *map(str, arguments))
        assert done.returncode == 0, done.stderr
    assert export(finished, "--prov", str(folder / "prov.jsonld")).returncode == 0
    return folder


@pytest.fixture(scope="module")
def whole(out: Path) -> Path:
    with zipfile.ZipFile(out / "whole.zip") as archive:
        archive.extractall(out / "whole")
    return out / "whole"


@pytest.fixture(scope="module")
def ledger(finished: Study) -> Ledger:
    return Ledger(finished.folder / "results")


def export(study: Study, *arguments: str) -> subprocess.CompletedProcess:
    return study.python("scripts/audit.py", "export", *arguments)


def entities(crate: Path) -> dict[str, dict]:
    graph = json.loads((crate / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def refers(entity: dict, name: str) -> set[str]:
    value = entity.get(name, [])
    return {item["@id"] for item in (value if isinstance(value, list) else [value])}


def plain(identifier: str) -> str:
    """An artifact's name from what a crate calls it, whether it is in there or not."""
    return unquote(identifier.removeprefix("#")).rstrip("/")


# --- The crate ---


@pytest.mark.parametrize("name", ["crate", "whole.zip"])
def test_it_is_a_provenance_run_crate(out: Path, tmp_path: Path, name: str) -> None:
    assert faults(out / name, PROFILE, tmp_path) == []


def test_a_crate_with_faults_is_found_faulty(out: Path, tmp_path: Path) -> None:
    """One fault for each of the profiles that this one extends."""
    crate = tmp_path / "crate"
    shutil.copytree(out / "crate", crate)
    (crate / "results/tables/accuracy.csv").unlink()
    graph = entities(crate)
    del graph["./"]["license"]
    del graph[f"#job/{SUMMARY}"]["instrument"]
    graph["#run"]["instrument"] = {"@id": "scripts/build_pairs.py"}
    del graph["#step/scripts/train_sft.py"]["workExample"]
    graph["./"]["favouriteColour"] = "red"
    path = crate / "ro-crate-metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "@graph": list(graph.values())}))
    found = "\n".join(faults(crate, PROFILE, tmp_path))
    for fault in (
        "does not include the Data Entity 'results/tables/accuracy.csv'",
        "favouriteColour",
        "must specify a license",
        "The Action MUST have an instrument property",
        "MUST reference the root data entity's mainEntity as its instrument",
        "A HowToStep must refer to its corresponding tool via workExample",
    ):
        assert fault in found


def test_every_file_has_its_digest_and_models_are_left_out(out: Path, whole: Path, ledger: Ledger) -> None:
    small, large = entities(out / "crate"), entities(whole)
    files = {
        name: inside["file"]
        for record in ledger.records
        for output, told in record.data["outputs"].items()
        for name, inside in (
            {f"{output}/{name}": inside for name, inside in told["files"].items()}
            if "files" in told
            else {output: told}
        ).items()
    }
    left_out = {name for name in files if "/model/" in name}
    assert 0 < len(left_out) < len(files)
    for name, digest in files.items():
        assert small[("#" if name in left_out else "") + quote(name)]["sha256"] == digest
        assert large[quote(name)]["sha256"] == digest
    for crate, graph in ((out / "crate", small), (whole, large)):
        copied = [path for path in files_below(crate) if path.name != "ro-crate-metadata.json"]
        for path in copied:
            entity = graph[quote(str(path.relative_to(crate)))]
            assert entity.get("sha256", file_digest(path)) == file_digest(path)
            assert entity.get("contentSize", str(path.stat().st_size)) == str(path.stat().st_size)
        assert not left_out.intersection(str(path.relative_to(crate)) for path in copied) or crate == whole


def test_its_actions_are_the_jobs(out: Path, ledger: Ledger) -> None:
    graph = entities(out / "crate")
    assert sum(entity["@type"] == "CreateAction" for entity in graph.values()) == len(ledger.records) + 1
    for record in ledger.records:
        job = graph[f"#job/{quote(record.outputs[0])}"]
        assert {plain(name) for name in refers(job, "result")} == set(record.outputs)
        used = {plain(name) for name in refers(job, "object") if not name.startswith(("#value/", "#input/"))}
        made = {ledger.artifact(name) for name in record.inputs} & set(ledger.maker)
        assert used - {name for name in used if name.startswith("report/")} == made
        values = {
            graph[name]["name"]: graph[name]["value"] for name in refers(job, "object") if name.startswith("#value/")
        }
        settings = {k: v for k, v in record.data["settings"].items() if isinstance(v, int | float)}
        assert settings.items() <= values.items()
        assert job["startTime"].removesuffix("+00:00") + "Z" == record.data["started"]
        (script,) = refers(job, "instrument")
        assert graph[script]["sha256"] == record.data["code_files"][f"scripts/{record.stage}.py"]
        assert file_digest(out / "crate" / script) == graph[script]["sha256"]


def test_it_names_neither_machine_nor_user(finished: Study, out: Path) -> None:
    told = (out / "crate/ro-crate-metadata.json").read_text() + (out / "prov.jsonld").read_text()
    assert f'"{platform.node()}"' not in told
    for path in files_below(out / "crate"):
        for private in (finished.folder, Path.home(), out):
            assert str(private).encode() not in path.read_bytes(), path


def test_what_somebody_is_called_stays_data(whole: Path) -> None:
    graph = entities(whole)
    assert graph["#author"] == {"@id": "#author", "@type": "Person", "name": AUTHOR}
    assert refers(graph[f"#job/{SUMMARY}"], "agent") == {"#author"} == refers(graph["./"], "author")


def test_the_same_study_gives_the_same_crate(finished: Study, out: Path, tmp_path: Path) -> None:
    assert export(finished, str(tmp_path / "again")).returncode == 0
    for path in files_below(out / "crate"):
        assert (tmp_path / "again" / path.relative_to(out / "crate")).read_bytes() == path.read_bytes()


def test_an_extracted_crate_can_be_audited(whole: Path, out: Path) -> None:
    done = Study(whole).python("scripts/audit.py", "verify", "--files-only")
    assert done.returncode == 1, done.stdout  # what was read from outside isn't in there
    assert "0 findings differ" in done.stdout and "results/assets/tiny/colours.jsonl: was read by a job" in done.stdout
    done = Study(out / "crate").python("scripts/audit.py", "list", "--stage", "build_pairs")
    assert done.returncode == 0 and "results/tiny/seed1/cream/iter2/pairs.parquet" in done.stdout


# --- PROV-O ---


def test_rdflib_reads_the_ledgers_edges(out: Path, ledger: Ledger) -> None:
    graph = rdflib.Graph().parse(out / "prov.jsonld", format="json-ld", publicID=BASE)

    def named(node: rdflib.term.Node) -> str:
        return str(graph.value(node, RDFS.label))

    assert {(named(used), named(made)) for made, used in graph.subject_objects(PROV.wasDerivedFrom)} == set(
        ledger.graph.edges
    )
    made_by = {named(made): job for made, job in graph.subject_objects(PROV.wasGeneratedBy)}
    assert made_by.keys() == ledger.maker.keys()
    assert len(set(made_by.values())) == len(ledger.records)
    for name, job in made_by.items():
        record = ledger.maker[name]
        assert str(job) == f"{BASE}#job/{quote(record.outputs[0])}"
        assert (job, RDF.type, PROV.Activity) in graph and named(job) == record.stage
        assert {named(used) for used in graph.objects(job, PROV.used)} == {
            ledger.artifact(source) for source in record.inputs
        }
        assert graph.value(job, PROV.endedAtTime).toPython() >= graph.value(job, PROV.startedAtTime).toPython()
        (agent,) = graph.objects(job, PROV.wasAssociatedWith)
        assert str(graph.value(agent, SHA256)) == record.data["code_files"][f"scripts/{record.stage}.py"]
    for name in ledger.maker:
        told = ledger.maker[name].data["outputs"][name]
        entity = rdflib.URIRef(BASE + quote(name))
        assert (entity, RDF.type, PROV.Entity) in graph
        if "files" not in told:
            assert str(graph.value(entity, SHA256)) == told["file"]
            continue
        members = {named(member): str(graph.value(member, SHA256)) for member in graph.objects(entity, PROV.hadMember)}
        files = {f"{name}/{file}": inside["file"] for file, inside in told["files"].items()}
        assert files.items() <= members.items()
    activities = set(graph.subjects(RDF.type, PROV.Activity))
    assert len(activities) == len(ledger.records)


def test_the_lineage_in_the_crate_is_the_same(out: Path) -> None:
    alone, inside = ((out / name).read_text() for name in ("prov.jsonld", "crate/provenance.jsonld"))
    assert json.loads(alone) == json.loads(inside)


# --- What ran is another today, or tells too much ---


def test_the_script_that_ran_is_the_instrument(study: Study, tmp_path: Path) -> None:
    script = study.folder / "scripts/write_summary.py"
    ran = file_digest(script)
    script.write_text(script.read_text() + "\n# changed since\n")
    assert export(study, str(tmp_path / "crate")).returncode == 0
    graph = entities(tmp_path / "crate")
    assert refers(graph[f"#job/{SUMMARY}"], "instrument") == {f"results/audit/code/{ran}.txt"}
    assert graph[f"results/audit/code/{ran}.txt"]["name"] == "scripts/write_summary.py"
    assert refers(graph["#job/results/tables/drift.csv"], "instrument") == {"scripts/measure_drift.py"}
    assert faults(tmp_path / "crate", PROFILE, tmp_path) == []


def test_paths_of_a_machine_stay_out_and_what_has_them_is_named(study: Study, tmp_path: Path) -> None:
    place = study.folder / (SUMMARY + SUFFIX)
    record = json.loads(place.read_text())
    record["settings"]["colours"] = "/home/ann/colours.txt"
    record["settings"]["folders"] = ["/home/ann/one", "two"]
    record["inputs"]["/home/ann/list.txt"] = "0" * 64
    place.write_text(record_text({**record, "seal": seal(record)}))
    done = export(study, str(tmp_path / "crate"), "--prov", str(tmp_path / "prov.jsonld"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SUMMARY}{SUFFIX} names paths of a machine: /home/ann/colours.txt, /home/ann/one" in done.stdout
    for name in ("crate/ro-crate-metadata.json", "crate/provenance.jsonld", "prov.jsonld"):
        told = (tmp_path / name).read_text()
        assert "/home/ann" not in told and "list.txt" in told


# --- Refused ---


def test_a_study_that_differs_is_not_exported(study: Study, tmp_path: Path) -> None:
    (study.folder / SUMMARY).write_text("better numbers")
    done = export(study, str(tmp_path / "crate"), "--prov", str(tmp_path / "prov.jsonld"))
    assert (done.returncode, done.stderr) == (3, "")
    assert f"{SUMMARY}: is not what its record says" in done.stdout and "nothing exported" in done.stdout
    assert list(tmp_path.glob("*")) == [study.folder]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say where to: a folder, FILE.zip, or --prov FILE"),
        (["Snakefile"], "Snakefile is there already: remove it or choose another name"),
        (["results/crate"], "results/crate lies in the results themselves"),
        (["--prov", "results/prov.jsonld"], "results/prov.jsonld lies in the results themselves"),
        (["new", "--results", "nowhere"], "nowhere is no folder"),
    ],
)
def test_a_place_that_will_not_do_is_refused(finished: Study, arguments: list[str], said: str) -> None:
    done = export(finished, *arguments)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1
