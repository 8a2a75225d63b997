"""How requests come in and answers go out: connections, routes, bodies, pages, errors. Knows no resource."""
