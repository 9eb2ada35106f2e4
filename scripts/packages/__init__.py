"""What this project is installed from, all of it made from pyproject.toml and the settings.

- `facts`: name, version, summary, address of the repository, and what each variable of the environment means;
- `files`: the files in the tree that directories and clients read (`make generate` writes them);
- `bundle`: the `.mcpb` for desktop clients, made from a wheel;
- `release`: what a tag releases.
"""
