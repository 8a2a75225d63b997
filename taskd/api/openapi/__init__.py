"""The description of every call, made from the routes, structs and tables that answer."""
