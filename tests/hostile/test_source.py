"""What the package never calls: unpickling, code of checkpoints, and shells. Ruff's rules S102 to
S701 (pyproject.toml) hold more of the same kind."""

import ast
from collections.abc import Iterator

import pytest

from tests.running import CHECKOUT

UNPICKLING = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# the end of a call's dotted name -> keyword arguments that it has to be given
SAFE = {
    "torch.load": {"weights_only": True},
    "trainer.fit": {"weights_only": True},
    "np.load": {"allow_pickle": False},
    "np.save": {"allow_pickle": False},
    **{
        f"Auto{name}.from_pretrained": {"trust_remote_code": False}
        for name in ("Config", "Tokenizer", "FeatureExtractor", "ImageProcessor")
    },
    "model_class.from_pretrained": {"trust_remote_code": False},
}
STARTING = ("run", "Popen", "call", "check_call", "check_output")


def problems(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"imports {one.name}" for one in node.names if unpickles(one.name))
        elif isinstance(node, ast.ImportFrom) and unpickles(node.module or ""):
            yield f"imports {node.module}"
        elif isinstance(node, ast.Call):
            yield from unsafe(node)


def unpickles(module: str) -> bool:
    return module.split(".")[0] in UNPICKLING


def unsafe(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {one.arg: getattr(one.value, "value", None) for one in call.keywords}
    for known, expected in SAFE.items():
        if f".{name}".endswith(f".{known}") and (known != "trainer.fit" or "ckpt_path" in given):
            yield from (
                f"{name} without {k}={v}" for k, v in expected.items() if given.get(k) is not v
            )
    if name.startswith("os.") and name[3:].startswith(("system", "popen", "exec", "spawn")):
        yield f"calls {name}"
    started = name.startswith("subprocess.") and name[11:] in STARTING
    in_one_string = (ast.Constant, ast.JoinedStr, ast.BinOp)
    if started and ("shell" in given or isinstance(call.args[0], in_one_string)):
        yield f"{name} with a shell or a command in one string"
    if name.endswith("read_pickle") or given.get("trust_remote_code"):
        yield name


def test_the_package_unpickles_nothing_and_starts_no_shell_or_code_of_others() -> None:
    found, calls = [], 0
    for folder in ("meld_lightning", "hydra_plugins"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found += [f"{file}: {one}" for one in problems(tree)]
            calls += sum(
                ast.unparse(node.func) in SAFE
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
            )
    assert not found
    assert calls >= 8, "the calls that are checked have other names now"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.numpy_pickle",
        "from joblib import load",
        "from joblib.numpy_pickle import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "self.trainer.fit(module, ckpt_path=resume)",
        "np.load(path)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=True)",
        "AutoConfig.from_pretrained(folder)",
        "subprocess.run(f'ls {folder}', shell=True)",
        "subprocess.Popen('ls ' + folder)",
        "os.system(command)",
    ],
)
def test_what_would_be_unsafe_is_found(source: str) -> None:
    assert list(problems(ast.parse(source)))
