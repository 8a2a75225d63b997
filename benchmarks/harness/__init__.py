"""What benchmarks are made of: studies, loads, stubs, processes, and how results are reported."""
