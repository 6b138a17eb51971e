"""Other people's benchmarks: their cases read, results written in the layout that their evaluation expects, and read."""
