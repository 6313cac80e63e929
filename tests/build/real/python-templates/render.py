import pathlib
import sys

from jinja2 import Environment, FileSystemLoader

title, out = sys.argv[1], pathlib.Path(sys.argv[2])
environment = Environment(loader=FileSystemLoader("templates"))
for name in sorted(environment.list_templates()):
    target = out / name.removesuffix(".j2")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(environment.get_template(name).render(title=title) + "\n")
