"""The endpoint as a process that a person starts."""

from __future__ import annotations

from keepfit.infra.target import Deployment, Steps


class Local:
    """Nothing to install: `keepfit up` runs in the foreground, and ends with it."""

    def check(self) -> None:
        """Every machine has it."""

    def install(self, deployment: Deployment) -> Steps:
        """Nothing."""
        return Steps(note=f"start it: keepfit up --project {deployment.root}")

    def remove(self, deployment: Deployment) -> Steps:
        """Nothing."""
        return Steps(note="stop `keepfit up`")
