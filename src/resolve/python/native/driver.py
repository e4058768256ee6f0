"""Calls a build backend (PEP 517): driver.py requires|wheel BACKEND BACKEND_PATH OUT [SETTINGS]"""
import importlib
import json
import sys

what, backend, paths, out = sys.argv[1:5]
settings = json.loads(sys.argv[5]) if len(sys.argv) > 5 else {}
# The folder of this file is no place to import from.
sys.path[:1] = json.loads(paths)
module, _, attributes = backend.partition(":")
hooks = importlib.import_module(module)
for attribute in filter(None, attributes.split(".")):
    hooks = getattr(hooks, attribute)
if what == "requires":
    found = hooks.get_requires_for_build_wheel(settings) if hasattr(hooks, "get_requires_for_build_wheel") else []
    with open(out, "w") as file:
        file.write("".join(line + "\n" for line in found))
else:
    hooks.build_wheel(out, settings)
