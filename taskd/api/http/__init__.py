"""How requests come in and responses go out: connections, routes, bodies, pages, errors. Knows no resource."""
