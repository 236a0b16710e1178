"""How is planned: what a cell costs, the cheapest way, and what each arm takes the unknown for."""
