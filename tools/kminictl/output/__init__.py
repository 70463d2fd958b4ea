"""How answers look: tables, YAML, JSON, jsonpath, custom columns, ages. Pure; no file, no socket."""
