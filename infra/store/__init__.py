"""PostgreSQL: one noun a module, one writer a table, everything that must agree in one transaction."""
