"""A Hugging Face hub on this machine, with small repositories, for the hub's own client."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from meld_lightning.storage.fingerprint import file_digest
from tests.fetch.server import Handler, Server, serving

COMMIT = "0123456789" * 4


@contextmanager
def local_hub(
    repositories: dict[str, Path], cache: Path, patch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Serves folders as repositories of these names; the hub's client asks here, and keeps what it
    gets in `cache`."""

    def behave(handler: Handler, _: int) -> None:
        parts = urlsplit(handler.path).path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in repositories:
            return _describe(handler, repositories["/".join(parts[2:4])], parts[4:])
        folder = repositories.get("/".join(parts[:2]))
        if folder is None or not (file := folder / parts[-1]).is_file():
            return handler.answer(404, headers={"X-Error-Code": "RepoNotFound"})
        headers = {"ETag": f'"{file_digest(file)}"', "X-Repo-Commit": COMMIT}
        return handler.answer(200, file.read_bytes(), headers)

    with serving(behave=behave, etag=None) as server:
        address = server.url.rpartition("/")[0]
        patch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        yield server


def _describe(handler: Handler, folder: Path, asked: list[str]) -> None:
    files = [{"rfilename": one.name, "size": one.stat().st_size} for one in folder.iterdir()]
    if asked[:1] == ["tree"]:
        listed = [
            {"type": "file", "path": one["rfilename"], "size": one["size"], "oid": COMMIT}
            for one in files
        ]
        handler.answer(200, json.dumps(listed).encode())
    else:
        found = {"id": folder.name, "sha": COMMIT, "siblings": files, "private": False}
        handler.answer(200, json.dumps({**found, "tags": [], "downloads": 0}).encode())
