"""keepfit.toml and the user's functions as one value; the only place that knows every section."""

from keepfit.project.load import check_project, find_root, load_leniently, load_project
from keepfit.project.open import home
from keepfit.project.project import FILE, Project
from keepfit.project.schema import json_schema

__all__ = ["FILE", "Project", "check_project", "find_root", "home", "json_schema", "load_leniently", "load_project"]
