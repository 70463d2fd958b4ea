"""HTTP: routes, verbs, watch streams, tables, discovery, OpenAPI, errors and limits."""
