"""One table of resources, from which routes, discovery, OpenAPI, rules and storage keys all follow."""
