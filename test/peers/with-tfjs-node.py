"""The engine tfjs-node on the C library of Python's tensorflow: built, held to the engines' contract, and timed in turns with the engine traced.

The package @tensorflow/tfjs-node fetches that library while it installs, from outside the registry, and fails where it cannot. Python's wheel carries the
same library, many versions newer, with its headers. All of it goes into a folder of its own (2 GB), beside a copy of this project's build that finds it
there; a second run with that folder builds nothing again.

Use, from the repository's root after `npm run build`, with any Python that has pip and a tensorflow wheel (Linux), a C++ compiler and make:
    python3 test/peers/with-tfjs-node.py FOLDER [--workloads tiny,small] [--threads 2] [--turns 3] [--steps 12] [--warmup 3]
Exit status 1 when the contract does not hold or a loss differs from traced's by more than 1e-4 in the first 15 steps.
"""

import argparse
import json
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TFJS_NODE = "@tensorflow/tfjs-node@4.22.0"
TENSORFLOW = "tensorflow-cpu"
# Node-API is stable from version to version; this is the newest that the package names.
NAPI = 8
LOSSES_WITHIN = 1e-4
LOSSES_COMPARED = 15


def run(*command, cwd=ROOT, quiet=False):
    print(f"$ {' '.join(map(str, command))}", file=sys.stderr, flush=True)
    done = subprocess.run([str(word) for word in command], cwd=cwd, text=True, capture_output=quiet)
    if done.returncode != 0:
        sys.exit(f"exit status {done.returncode}\n{done.stdout or ''}{done.stderr or ''}")
    return done.stdout


def install(folder):
    """The package without its install script, which is what would fetch the library."""
    package = folder / "node_modules/@tensorflow/tfjs-node"
    if not package.exists():
        (folder / "package.json").write_text('{ "private": true }\n')
        run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", TFJS_NODE, cwd=folder, quiet=True)
    return package


def unpack(folder, deps):
    """The wheel's headers and libraries, where and as the package's build looks for them."""
    wheels = folder / "wheels"
    if not list(wheels.glob("*.whl")):
        run(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", wheels, TENSORFLOW, quiet=True)
    [wheel] = wheels.glob("*.whl")
    library = deps / "lib"
    library.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = pathlib.PurePosixPath(member)
            if path.parts[:2] == ("tensorflow", "include") and not member.endswith("/"):
                target = deps / path.relative_to("tensorflow")
            elif path.parent.name == "tensorflow" and path.name.startswith(("libtensorflow_cc.", "libtensorflow_framework.")):
                target = library / path.name
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)
    for name, pattern in (("libtensorflow.so", "libtensorflow_cc.so.*"), ("libtensorflow_framework.so", "libtensorflow_framework.so.*")):
        link = library / name
        link.unlink(missing_ok=True)
        [found] = library.glob(pattern)
        link.symlink_to(found.name)
    return wheel.name


def build(folder):
    package = install(folder)
    binding = package / f"lib/napi-v{NAPI}"
    if not (binding / "tfjs_binding.node").exists():
        print(unpack(folder, package / "deps"), file=sys.stderr)
        flags = {"module_name": "tfjs_binding", "module_path": binding, "napi_build_version": NAPI, "napi_version": NAPI}
        gyp = ["node-gyp", "rebuild", *(f"--{name}={value}" for name, value in flags.items())]
        # npm puts its own node-gyp into the path of what it runs.
        run("npm", "exec", "--offline", "--call", shlex.join(gyp), cwd=package, quiet=True)


def lay_beside(folder):
    """A copy of this project's build, from which the package is found as it is where both are installed globally: in a folder above."""
    copy = folder / "shoal"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "dist", copy / "dist")
    for name in ("package.json", ".mocharc.json"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    return copy


def bench(copy, engine, workload, given):
    flags = ["--steps", given.steps, "--warmup", given.warmup, "--threads", given.threads]
    return json.loads(
        run("node", "dist/cli/main.js", "bench", "train", "--workload", workload, "--engine", engine, "--json", *flags, cwd=copy, quiet=True)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--workloads", default="tiny,small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=3)
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    build(folder)
    copy = lay_beside(folder)
    run("node", "dist/cli/main.js", "engines", cwd=copy)
    mocha = ["node_modules/mocha/bin/mocha.js", "dist/test/contracts/engine.test.js", "--grep", "engine tfjs-node "]
    run("node", *mocha, "--forbid-pending", "--fail-zero", cwd=copy)
    apart = False
    for name in given.workloads.split(","):
        run("node", "test/peers/workload.mjs", folder / "workloads", name)
        turns = [[bench(copy, engine, folder / "workloads" / name, given) for engine in ("tfjs-node", "traced")] for _ in range(given.turns)]
        ratios = sorted(native["ms"] / traced["ms"] for native, traced in turns)
        native, traced = turns[0]
        worst = max(abs(a - b) for a, b in list(zip(native["losses"], traced["losses"]))[:LOSSES_COMPARED])
        apart |= worst > LOSSES_WITHIN
        ms = ["/".join(f"{turn[which]['ms']:.1f}" for turn in turns) for which in (0, 1)]
        print(
            f"{name}, {given.threads} threads: tfjs-node {ms[0]} ms a step, traced {ms[1]} ms; ratio {ratios[0]:.2f} {statistics.median(ratios):.2f}"
            f" {ratios[-1]:.2f} (min, median, max); memory {native['rssMB']} MB beside {traced['rssMB']} MB; losses within {worst:.1e}",
            flush=True,
        )
        for report in (native, traced):
            print(f"  {report['engine']:>9}: {' '.join(f'{loss:.5f}' for loss in report['losses'])}", flush=True)
    sys.exit(1 if apart else 0)


main()
