"""Uploads an export to the Hugging Face hub.

Reads an exported folder, and the token from `hf auth login` or HF_TOKEN. Used by the command
`export`.
"""

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from meld_lightning.errors import UserError
from meld_lightning.inference.bundle import Bundle

LOG_IN = "run: hf auth login, or set HF_TOKEN to a token with write access"


def push(bundle: Bundle, name: str, *, private: bool) -> str:
    """Uploads the folder as the model repository `name`, created if there is none; returns its
    URL.

    Raises UserError without a token, for a name that the hub refuses, and if the upload fails.
    """
    bundle.check_files()
    api = HfApi(library_name="meld-lightning")
    if get_token() is None:
        raise UserError(f"push={name}: not logged in to the hub; {LOG_IN}")
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=Path(bundle.folder),
            commit_message=f"Export {bundle.name} with meld-lightning {bundle.package}",
        )
    except HFValidationError as error:
        said = " ".join(str(error).split())
        raise UserError(f"push={name}: not a valid name on the hub ({said})") from error
    except (HfHubHTTPError, OSError) as error:
        said = " ".join(str(error).split())
        status = getattr(getattr(error, "response", None), "status_code", None)
        remedy = LOG_IN if status in (401, 403) else "the folder is complete; push it again"
        raise UserError(f"push={name}: the upload failed ({said[:200]}); {remedy}") from error
    return str(repository)
