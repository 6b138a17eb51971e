"""Others' benchmarks: cases read, results written in the layout that their evaluation expects, and read again."""
