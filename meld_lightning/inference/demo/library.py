"""Loads Gradio with its telemetry off, and holds the host of the demo's page.

Imports Gradio only when it is called. Used by page.py and the command `demo`.
"""

import os
from typing import Any

from meld_lightning.errors import UserError

HOST = "127.0.0.1"


def load_gradio() -> Any:
    """The module gradio with its telemetry off; UserError if it is not installed."""
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_SHARE="False")
    try:
        import gradio
    except ImportError:
        raise UserError(
            "demo: gradio is not installed; run: pip install 'meld-lightning[demo]'"
        ) from None
    return gradio
