"""The deadlock oracle: random programs on real threads and tasks, judged by what was seen to happen.

`generate` makes a program from a seed, `execute` runs it through oneloom's public API and writes a history, `control`
watches the run and helps where help from outside is possible, `judge` replays the history and says what was wrong.
Nothing here looks at how oneloom finds a deadlock: the judge knows only the rules that are promised to users.
"""
